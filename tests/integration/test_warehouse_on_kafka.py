"""The warehouse end to end, on each database: what was sent is stored or a dead letter, once."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from gdsconsole.devstack.kafka_cluster import KafkaCluster
from gdsconsole.env import ROOT
from gdsconsole.kafka.dead_letters.envelope import decode
from tests.integration.offsets import committed_offsets, end_offsets
from tests.integration.processes import Part, Parts, console_parts
from tests.postgresql import PostgresqlServer
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(300)]

PARTITIONS = 12
POISON = [b"not json", b"\xff\xfe", None, b'{"value": "high"}', b"[]"]
Place = tuple[int, int]


class World:
    """A console's database and topics, and the processes that work on them."""

    def __init__(
        self, parts: Parts, environment: Mapping[str, str], organization: str, kafka: KafkaCluster
    ) -> None:
        self.parts = parts
        self.metrics = f"{organization}.metrics.production"
        self.dead = f"{organization}.metrics.dlq"
        self.database_url = environment["DATABASE_URL"]
        self._environment = environment
        self._kafka = kafka

    def manage(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), *words],
            env=dict(self._environment),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2_000:]
        return done.stdout

    def run(self, name: str) -> Part:
        return self.parts.manage("pipelines", "run", name)

    def count(self) -> int:
        return int(json.loads(self.manage("metrics", "query", "--count", "--json"))["count"])

    def points(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(self.manage("metrics", "query", "--json"))
        return rows

    def send(
        self, count: int, *, poison_every: int = 100, first: int = 0
    ) -> tuple[dict[Place, float], set[Place]]:
        """Good metrics, each with a value of its own, and poison; by where in the topic they stand."""
        good: dict[Place, float] = {}
        bad: set[Place] = set()

        def delivered(number: int) -> Callable[[Any, Any], None]:
            def report(error: Any, record: Any) -> None:
                assert error is None, error
                place = (record.partition(), record.offset())
                if number % poison_every:
                    good[place] = float(number)
                else:
                    bad.add(place)

            return report

        producer = Producer({"bootstrap.servers": self._kafka.bootstrap_servers, "linger.ms": 20})
        for number in range(first, first + count):
            name = f"db-{number % 40:02}"
            value = metric(name, number) if number % poison_every else POISON[number // poison_every % 5]
            producer.produce(self.metrics, value, name.encode(), on_delivery=delivered(number))
            producer.poll(0)
        assert producer.flush(60) == 0
        return good, bad

    def analysed(self) -> tuple[int, float]:
        """How many samples the minutes counted, and what they add up to."""
        model = "from topics.models import MetricMinute; from django.db.models import Sum"
        asked = f"{model}; print(*MetricMinute.objects.aggregate(Sum('count'), Sum('total')).values())"
        count, total = self.manage("shell", "--no-imports", "-c", asked).split()
        return int(count), float(total)

    def dead_letters(self) -> list[Place]:
        consumer = Consumer(
            {"bootstrap.servers": self._kafka.bootstrap_servers, "group.id": str(uuid.uuid4())}
        )
        parts = [TopicPartition(self.dead, n, OFFSET_BEGINNING) for n in range(3)]
        ends = sum(end_offsets(consumer, parts))
        consumer.assign(parts)
        found: list[Place] = []
        while len(found) < ends:
            letters = [decode(record) for record in consumer.consume(500, 1.0) if record.error() is None]
            found += [(letter.partition or 0, letter.offset or 0) for letter in letters]
        consumer.close()
        return found

    def committed(self, group: str) -> int:
        """How many records the group has behind it; 0 too while its coordinator is being found."""
        consumer = Consumer({"bootstrap.servers": self._kafka.bootstrap_servers, "group.id": group})
        asked = [TopicPartition(self.metrics, n) for n in range(PARTITIONS)]
        try:
            return sum(max(0, offset) for offset in committed_offsets(consumer, asked))
        finally:
            consumer.close()


def metric(name: str, number: int) -> bytes:
    return json.dumps(
        {
            "timestamp": datetime.now(UTC).isoformat(),
            "database_type": "postgresql",
            "instance_id": name,
            "metric_name": "cpu_usage_percent",
            "value": number,
            "tags": {"environment": "production"},
        }
    ).encode()


@pytest.fixture(params=["sqlite", "postgresql"])
def world(
    request: pytest.FixtureRequest,
    kafka: KafkaCluster,
    topic_factory: Callable[..., str],
    redis_url: str,
    tmp_path: Path,
) -> Iterator[World]:
    organization = f"t{uuid.uuid4().hex[:10]}"
    topic_factory(f"{organization}.metrics.production", partitions=PARTITIONS)
    topic_factory(f"{organization}.metrics.dlq", partitions=3)
    url = f"sqlite:///{tmp_path / 'console.sqlite3'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql").create_database(organization)
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "DATABASE_URL": url,
        "GDS_ORGANIZATION": organization,
        "GDS_WAREHOUSE_BATCH_SECONDS": "0.2",
        "KAFKA_CONFIG_SESSION_TIMEOUT_MS": "6000",
    }
    with console_parts(environment, tmp_path) as parts:
        made = World(parts, environment, organization, kafka)
        made.manage("migrate", "--verbosity", "0")
        yield made


def is_empty(admin: AdminClient, group: str) -> bool:
    """A static member stays for its session after its process has ended."""
    listed = admin.list_consumer_groups().result(30)
    states = {found.group_id: found.state for found in listed.valid}
    return not listed.errors and states.get(group) == ConsumerGroupState.EMPTY


def assert_all_there(world: World, good: Mapping[Place, float], bad: set[Place]) -> None:
    rows = world.points()
    stored = {(row["partition"], row["offset"]): row["value"] for row in rows}
    assert len(rows) == len(stored), "a point is stored twice"
    assert stored == good
    assert set(world.dead_letters()) == bad


def test_killed_again_and_again_it_stores_every_message_once(world: World) -> None:
    chance = random.Random(20260115)
    good, bad = world.send(10_000)
    running = world.run("warehouse")
    for _ in range(5):
        before = world.committed("gds-warehouse")
        wait_until(lambda start=before: world.committed("gds-warehouse") > start, 60, "it gets on")
        running.signal(signal.SIGKILL)
        running.wait(10)
        more_good, more_bad = world.send(chance.randrange(500, 2_000), first=100_000 * len(good))
        good, bad = good | more_good, bad | more_bad
        running = world.run("warehouse")
    total = len(good) + len(bad)
    wait_until(lambda: world.committed("gds-warehouse") == total, 90, "the group is at the end")
    assert_all_there(world, good, bad)
    running.signal(signal.SIGTERM)
    assert running.wait(25) == 0


def test_three_groups_get_every_message_and_one_that_stands_still_holds_none_back(world: World) -> None:
    groups = {name: world.run(name) for name in ("alerting", "warehouse", "analytics")}
    good, bad = world.send(1_000)
    for name in groups:
        wait_until(lambda name=name: world.committed(f"gds-{name}") == 1_000, 90, f"{name} is at the end")
    groups["warehouse"].signal(signal.SIGSTOP)
    more_good, more_bad = world.send(1_000, first=1_000)
    good, bad = good | more_good, bad | more_bad
    for name in ("alerting", "analytics"):
        wait_until(lambda name=name: world.committed(f"gds-{name}") == 2_000, 30, f"{name} went on alone")
    assert world.analysed() == (len(good), sum(good.values()))
    assert world.committed("gds-warehouse") == 1_000
    groups["warehouse"].signal(signal.SIGCONT)
    wait_until(lambda: world.committed("gds-warehouse") == 2_000, 60, "the warehouse caught up")
    assert_all_there(world, good, bad)


@pytest.mark.parametrize("world", ["sqlite"], indirect=True)
def test_a_locked_database_is_waited_for(world: World) -> None:
    running = world.run("warehouse")
    good, bad = world.send(1_000)
    wait_until(lambda: world.committed("gds-warehouse") == 1_000, 60, "the group is at the end")
    locking = sqlite3.connect(world.database_url.removeprefix("sqlite:///"), isolation_level=None)
    locking.execute("BEGIN EXCLUSIVE")
    more_good, more_bad = world.send(1_000, first=1_000)
    wait_until(lambda: "OperationalError" in running.said() or "locked" in running.said(), 30, "it is told")
    assert world.committed("gds-warehouse") == 1_000
    locking.execute("ROLLBACK")
    locking.close()
    wait_until(lambda: world.committed("gds-warehouse") == 2_000, 60, "it went on by itself")
    assert_all_there(world, good | more_good, bad | more_bad)


@pytest.mark.parametrize("world", ["postgresql"], indirect=True)
def test_connections_that_are_cut_lose_nothing(world: World, postgresql: PostgresqlServer) -> None:
    running = world.run("warehouse")
    good, bad = world.send(1_000)
    name = world.database_url.rpartition("/")[2]
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
    with psycopg.connect(postgresql.url(), autocommit=True) as connection:
        for turn in range(1, 6):
            more_good, more_bad = world.send(1_000, first=1_000 * turn)
            good, bad = good | more_good, bad | more_bad
            connection.execute(cut, [name])
    wait_until(lambda: world.committed("gds-warehouse") == 6_000, 90, "the group is at the end")
    assert running.process.poll() is None
    assert_all_there(world, good, bad)


def test_redelivery_from_the_start_changes_nothing(world: World, kafka_admin: AdminClient) -> None:
    good, bad = world.send(2_000)
    running = world.run("warehouse")
    wait_until(lambda: world.committed("gds-warehouse") == 2_000, 60, "the group is at the end")
    running.signal(signal.SIGTERM)
    assert running.wait(25) == 0
    before = world.points()
    back = [TopicPartition(world.metrics, n, 0) for n in range(PARTITIONS)]
    wait_until(lambda: is_empty(kafka_admin, "gds-warehouse"), 20, "only a group without members is altered")
    future = kafka_admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions("gds-warehouse", back)])
    future["gds-warehouse"].result(30)
    again = world.run("warehouse")
    wait_until(lambda: world.committed("gds-warehouse") == 2_000, 60, "the group is at the end again")
    assert world.points() == before
    assert_all_there(world, good, bad)
    again.signal(signal.SIGTERM)
    assert again.wait(25) == 0
