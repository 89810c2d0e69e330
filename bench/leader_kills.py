"""How soon alerts go on when the leader of their topic's partitions is killed, in both ways to send events.

    .venv/bin/python bench/leader_kills.py [--kills 20] [--way outbox|transactional] [--keep DIRECTORY]

Three brokers, one alerting consumer in a process of its own, 200 messages a second of which one in twenty
fires. Each time the broker that leads partition 0 is killed; seconds are from the kill to the twentieth alert
stored after it. A JSON line a kill, then the list. Exit 1 when one took longer than the 20 s promised.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
_data = tempfile.mkdtemp(prefix="gdsconsole-bench-")
os.environ["GDS_TEST_DATA_DIR"] = _data
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"

import django

django.setup()

from confluent_kafka.admin import AdminClient, NewTopic
from django.conf import settings
from django.core.management import call_command

from gdsconsole import env
from gdsconsole.devstack import jars, java, ports
from gdsconsole.devstack.kafka_cluster import BrokerPorts, ClusterLayout, KafkaCluster
from gdsconsole.devstack.redis_server import RedisServer
from tests.integration.stream import Stream, open_stream
from topics.models import AlertEvent

BROKERS = 3
PROMISED_S = 20.0
GIVEN_UP_S = 120.0
ALERTS = 20
RESTART_S = 300.0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--way", choices=("outbox", "transactional"), action="append")
    parser.add_argument("--keep", type=Path, help="where the consumers' logs are left")
    given = parser.parse_args()
    call_command("migrate", verbosity=0)
    late = 0
    for way in given.way or ("outbox", "transactional"):
        settings.GDS_ALERT_EVENTS = os.environ["GDS_ALERT_EVENTS"] = way
        logs = (given.keep or Path(_data)) / way
        logs.mkdir(parents=True, exist_ok=True)
        with cluster() as kafka:
            took = [round(one, 1) for one in kills(kafka, given.kills, logs)]
        say(bench="leader_kills", way=way, seconds=took, longest=max(took))
        late += sum(one > PROMISED_S for one in took)
    return 1 if late else 0


def kills(kafka: KafkaCluster, count: int, logs: Path) -> Iterator[float]:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})

    def topic(name: str, *, partitions: int) -> str:
        admin.create_topics([NewTopic(name, partitions, BROKERS)])[name].result(30)
        until(lambda: leader(admin, name) > 0, 30)
        return name

    with open_stream(kafka, topic, os.environ, logs, seed=uuid.uuid4().int % 1000) as stream:
        stream.start("alerting")
        with stream.traffic.flowing(per_s=200):
            until(lambda: AlertEvent.objects.count() > ALERTS, 60)
            for number in range(count):
                killed = leader(admin, stream.metrics)
                began, at = time.monotonic(), time.time()
                kafka.broker(killed).kill()
                took = back(stream, began)
                say(kill=number, broker=killed, at=round(at, 1), seconds=round(took, 1), ended=stream.ended())
                yield took
                kafka.broker(killed).start(wait_s=RESTART_S)
                # In sync again, or the next kill would take the topic below its minimum.
                until(lambda: in_sync(admin, stream.metrics), RESTART_S)


def back(stream: Stream, began: float) -> float:
    """Seconds until alerts of messages sent since are stored."""
    newest = AlertEvent.objects.count()
    until(lambda: AlertEvent.objects.count() >= newest + ALERTS, GIVEN_UP_S)
    return time.monotonic() - began


def leader(admin: AdminClient, topic: str) -> int:
    """Of partition 0; -1 while there is none."""
    parts = admin.list_topics(topic, timeout=10).topics[topic].partitions
    return int(parts[0].leader) if 0 in parts else -1


def in_sync(admin: AdminClient, topic: str) -> bool:
    parts = admin.list_topics(topic, timeout=10).topics[topic].partitions.values()
    return all(len(part.isrs) == BROKERS for part in parts)


def until(condition: Callable[[], bool], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)


@contextmanager
def cluster() -> Iterator[KafkaCluster]:
    repository = os.environ.get("KAFKA_MAVEN_REPOSITORY") or env.STANDARD_MAVEN_REPOSITORY
    fetched = jars.fetch(repository=repository, directory=jars.cache_directory(os.environ))
    free = ports.free(3 * BROKERS + 1)
    brokers = tuple(BrokerPorts(*free[3 * n : 3 * n + 3]) for n in range(BROKERS))
    directory = Path(tempfile.mkdtemp(dir=_data))
    kafka = KafkaCluster(ClusterLayout(directory / "kafka", brokers), java.ensure(os.environ), fetched)
    redis = RedisServer(directory / "redis", free[-1])
    try:
        kafka.start()
        redis.start()
        settings.KAFKA_BOOTSTRAP_SERVERS = kafka.bootstrap_servers
        settings.REDIS_URL = redis.url
        os.environ |= {
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "REDIS_URL": redis.url,
            "DATABASE_URL": f"sqlite:///{settings.DATABASES['default']['NAME']}",
        }
        yield kafka
    finally:
        redis.kill()
        for broker in kafka.brokers:
            broker.kill()


def say(**line: object) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    sys.exit(main())
