"""How fast the alerting pipeline reads, beside a loop that reads and does nothing.

    .venv/bin/python bench/alerting.py [--messages 1000000] [--rounds 3] [--rules 100]

Starts a broker and a database of its own, writes seeded metrics once (12 partitions, lz4), and reads
them in alternating rounds: `bare` is consume(500) alone, `decode` adds the metric decoder, `alerting`
is the whole pipeline with its rules, commits and database. One JSON line a run, then one with the
medians and their ratio to `bare`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
_DIRECTORY = Path(tempfile.mkdtemp(prefix="gdsconsole-bench-"))
os.environ["GDS_TEST_DATA_DIR"] = str(_DIRECTORY)
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"

import django

django.setup()

import logging
import random

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from django.conf import settings
from django.core.management import call_command

from gdsconsole import catalog, env
from gdsconsole.devstack import jars, java, ports
from gdsconsole.devstack.kafka_cluster import BrokerPorts, ClusterLayout, KafkaCluster
from topics.models import AlertRule
from topics.telemetry import METRIC_DECODER

TOPIC = "gds.metrics.production"
PARTITIONS = 12
NAMES = [f"metric_{n:03}" for n in range(100)]


def write(servers: str, count: int) -> int:
    """Seeded metrics of about 250 bytes; how many bytes in all."""
    admin = AdminClient({"bootstrap.servers": servers})
    wanted = [NewTopic(name, PARTITIONS, 1) for name in (TOPIC, "gds.metrics.dlq")]
    for future in admin.create_topics(wanted).values():
        future.result(30)
    chance = random.Random(20260115)
    producer = Producer(
        {"bootstrap.servers": servers, "compression.type": "lz4", "batch.size": 262144, "linger.ms": 50}
    )
    total = 0
    for n in range(count):
        instance = f"prod-db-{chance.randrange(500):04}"
        value = json.dumps(
            {
                "timestamp": f"2026-01-15T10:{n // 60 % 60:02}:{n % 60:02}Z",
                "database_type": "postgresql",
                "instance_id": instance,
                "metric_name": chance.choice(NAMES),
                "value": round(chance.uniform(0, 79), 3),
                "tags": {"environment": "production", "region": "eu-central-1", "tenant_id": f"t{n % 7}"},
            }
        ).encode()
        total += len(value)
        while True:
            try:
                producer.produce(TOPIC, value, f"postgresql:{instance}".encode())
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(120) == 0
    return total


def read_bare(servers: str, count: int, run: str, *, decode: bool = False) -> float:
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": run,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.queue.backoff.ms": 10,
        }
    )
    consumer.subscribe([TOPIC])
    seen, began = 0, 0.0
    while seen < count:
        records = consumer.consume(500, 0.5)
        began = began or (time.perf_counter() if records else 0.0)
        if decode and records:
            list(map(METRIC_DECODER.decode, map(type(records[0]).value, records)))
        seen += len(records)
    took = time.perf_counter() - began
    consumer.close()
    return took


def read_alerting(count: int, run: str) -> float:
    """From the first record handled to the last one committed."""
    spec = catalog.PipelineSpec(
        name="bench",
        group=run,
        topics=lambda: [TOPIC],
        decoder=catalog.ALERTING.decoder,
        step=lambda: catalog.RulesStep(group=run),
        dead_letter_topic=catalog.ALERTING.dead_letter_topic,
        policies=catalog.ALERTING.policies,
    )
    pipeline = catalog.build(spec, slot=0)
    pipeline.subscribe([TOPIC])
    began = 0.0
    while pipeline.counters.processed < count:
        now = time.perf_counter()
        pipeline.run_once()
        if not began and pipeline.counters.processed:
            began = now
    pipeline.close(commit=True)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rules", type=int, default=100)
    parser.add_argument(
        "--profile", action="store_true", help="print where the last alerting run spent its time"
    )
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    call_command("migrate", verbosity=0)
    for n in range(arguments.rules):
        AlertRule.objects.create(
            name=f"rule {n}",
            metric_name=NAMES[n % len(NAMES)],
            operator=">",
            threshold=80.0 + n // len(NAMES),
        )
    repository = os.environ.get("KAFKA_MAVEN_REPOSITORY") or env.STANDARD_MAVEN_REPOSITORY
    fetched = jars.fetch(repository=repository, directory=jars.cache_directory(os.environ))
    layout = ClusterLayout(_DIRECTORY / "kafka", (BrokerPorts(*ports.free(3)),))
    cluster = KafkaCluster(layout, java.ensure(os.environ), fetched)
    cluster.start()
    try:
        settings.KAFKA_BOOTSTRAP_SERVERS = servers = cluster.bootstrap_servers
        size = write(servers, arguments.messages) / arguments.messages
        runs: dict[str, Callable[[int], float]] = {
            "bare": lambda n: read_bare(servers, arguments.messages, f"bare-{n}"),
            "decode": lambda n: read_bare(servers, arguments.messages, f"decode-{n}", decode=True),
            "alerting": lambda n: read_alerting(arguments.messages, f"alerting-{n}"),
        }
        rates: dict[str, list[float]] = {name: [] for name in runs}
        for n in range(arguments.rounds):
            for name, run in runs.items():
                rate = arguments.messages / run(n)
                rates[name].append(rate)
                print(json.dumps({"run": name, "round": n, "messages_per_s": round(rate)}), flush=True)
        medians = {name: statistics.median(found) for name, found in rates.items()}
        print(
            json.dumps(
                {
                    "messages": arguments.messages,
                    "bytes_each": round(size),
                    "rules": arguments.rules,
                    "messages_per_s": {name: round(rate) for name, rate in medians.items()},
                    "ratio_to_bare": {
                        name: round(rate / medians["bare"], 3) for name, rate in medians.items()
                    },
                }
            )
        )
        if arguments.profile:
            import cProfile
            import pstats

            profile = cProfile.Profile()
            profile.enable()
            read_alerting(arguments.messages, "alerting-profile")
            profile.disable()
            pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(25)
    finally:
        for broker in cluster.brokers:
            broker.kill()


if __name__ == "__main__":
    main()
