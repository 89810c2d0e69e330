"""Pipelines under a real Celery worker that is stopped, killed and frozen in the middle of its work."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis
from confluent_kafka import Consumer, Producer, TopicPartition
from django.db import connection
from django.utils import timezone

from gdsconsole.celery import app
from gdsconsole.devstack.kafka_cluster import KafkaCluster
from gdsconsole.pipelines import services
from gdsconsole.pipelines.models import PartitionProgress, PipelineConsumer
from tests.factories import by
from tests.integration.offsets import committed_offsets, end_offsets
from tests.integration.processes import Parts, console_parts
from tests.waiting import wait_until
from topics.models import Alert, AlertEvent, Source
from topics.seed import install_default_rules

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.django_db(transaction=True)]

TOPIC = "gds.metrics.production"
PARTITIONS = 12


@pytest.fixture
def topics(topic_factory: Callable[..., str]) -> list[str]:
    return [
        topic_factory(TOPIC, partitions=PARTITIONS),
        topic_factory("gds.metrics.dlq", partitions=3),
        topic_factory("gds.alerts.production", partitions=3),
    ]


@pytest.fixture
def parts(
    topics: list[str], redis_url: str, subprocess_environment: dict[str, str], tmp_path: Path
) -> Iterator[Parts]:
    install_default_rules()
    with console_parts(subprocess_environment, tmp_path) as started:
        yield started


def metric(instance: str, value: float) -> bytes:
    return json.dumps(
        {
            "timestamp": "2026-01-15T10:30:00Z",
            "database_type": "postgresql",
            "instance_id": instance,
            "metric_name": "cpu_usage_percent",
            "value": value,
            "tags": {"environment": "production"},
        }
    ).encode()


def send(kafka: KafkaCluster, count: int, *, breaking: int = 20) -> list[str]:
    """Send `count` metrics, `breaking` of which come from an instance of their own that breaks a rule."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "linger.ms": 50})
    hot = [f"hot-{n:03}" for n in range(breaking)]
    at = {(n + 1) * count // (breaking + 1): name for n, name in enumerate(hot)}
    for n in range(count):
        name = at.get(n, f"calm-{n % 100:03}")
        while True:
            try:
                producer.produce(
                    TOPIC, metric(name, 95.5 if n in at else 12.5), f"postgresql:{name}".encode()
                )
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(60) == 0
    return hot


class Group:
    """One consumer to ask for the group's commits and the topic's ends."""

    def __init__(self, kafka: KafkaCluster, group: str) -> None:
        self._consumer = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": group})
        self._parts = [TopicPartition(TOPIC, n) for n in range(PARTITIONS)]

    def lag(self) -> int | None:
        """None while a partition has no commit."""
        committed = committed_offsets(self._consumer, self._parts)
        ends = end_offsets(self._consumer, self._parts)
        if min(committed) < 0:
            return None
        return sum(ends) - sum(committed)

    def done(self) -> int:
        return sum(max(0, offset) for offset in committed_offsets(self._consumer, self._parts))

    def close(self) -> None:
        self._consumer.close()


@pytest.fixture
def alerting(kafka: KafkaCluster) -> Iterator[Group]:
    group = Group(kafka, "gds-alerting")
    yield group
    group.close()


def holder(slot: int = 0) -> PipelineConsumer | None:
    consumer = PipelineConsumer.objects.filter(pipeline__name="alerting", slot=slot).first()
    return consumer if consumer is not None and consumer.pid and consumer.is_held(timezone.now()) else None


def running(partitions: int = PARTITIONS) -> PipelineConsumer | None:
    consumer = holder()
    return consumer if consumer is not None and len(consumer.partitions) == partitions else None


def assert_alerts_once(hot: list[str]) -> None:
    # The console's own alerts, of lag and of brokers, come and go with the test's load.
    instances = [alert.labels["instance_id"] for alert in Alert.objects.filter(rule__source=Source.METRIC)]
    assert sorted(instances) == hot
    events = AlertEvent.objects.filter(state="firing", alert__rule__source=Source.METRIC)
    fired = [event.alert.labels["instance_id"] for event in events]
    assert sorted(fired) == hot


def test_sigterm_drains_commits_and_frees_the_slot(parts, alerting, kafka):
    worker = parts.worker()
    parts.beat()
    wait_until(running, 60, "the alerting consumer holds its partitions")
    hot = send(kafka, 100_000)
    wait_until(lambda: alerting.done() > 5_000, 60, "some are done")
    worker.signal(signal.SIGTERM)
    assert worker.wait(25) == 0
    assert "the worker is stopping" in worker.said()
    assert holder() is None
    parts.worker()
    wait_until(lambda: alerting.lag() == 0, 90, "the group is at the end")
    assert_alerts_once(hot)


@pytest.mark.parametrize("victim", ["child", "parent"])
def test_a_killed_worker_loses_nothing_and_doubles_nothing(parts, alerting, kafka, victim):
    worker = parts.worker()
    parts.beat()
    consumer = wait_until(running, 60, "the alerting consumer holds its partitions")
    hot = send(kafka, 100_000)
    wait_until(lambda: alerting.done() > 5_000, 60, "some are done")
    if victim == "child":
        os.kill(consumer.pid, signal.SIGKILL)
    else:
        worker.signal(signal.SIGKILL)
        worker.wait(10)
        parts.worker()
    wait_until(
        lambda: (now := running()) is not None and now.pid != consumer.pid, 20, "another holds the slot"
    )
    wait_until(lambda: alerting.lag() == 0, 90, "the group is at the end")
    assert_alerts_once(hot)


def frozen_between_transactions(pid: int) -> bool:
    """Freeze the process, unless it holds the lock of SQLite, which nobody could get until it thaws.

    A try waits for nothing: the process has the lock most of the time, so many tries are needed.
    """
    os.kill(pid, signal.SIGSTOP)
    name = connection.settings_dict["NAME"]
    with closing(sqlite3.connect(name, timeout=0, isolation_level=None)) as probe:
        try:
            probe.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            os.kill(pid, signal.SIGCONT)
            return False
        probe.execute("ROLLBACK")
    return True


def test_a_consumer_frozen_and_thawed_writes_nothing_stale(parts, alerting, kafka):
    parts.worker()
    parts.beat()
    frozen = wait_until(running, 60, "the alerting consumer holds its partitions")
    hot = send(kafka, 100_000)
    wait_until(lambda: alerting.done() > 5_000, 60, "some are done")
    wait_until(lambda: frozen_between_transactions(frozen.pid), 30, "it froze without a lock")
    wait_until(lambda: (now := running()) is not None and now.pid != frozen.pid, 40, "another holds the slot")
    os.kill(frozen.pid, signal.SIGCONT)
    wait_until(lambda: alerting.lag() == 0, 90, "the group is at the end")
    assert_alerts_once(hot)
    reached = sum(
        PartitionProgress.objects.filter(group="gds-alerting").values_list("next_offset", flat=True)
    )
    assert reached <= 100_000
    assert running().pid != frozen.pid


def test_pause_stops_it_and_resume_starts_it_again(parts, alerting, kafka):
    parts.worker()
    parts.beat()
    first = wait_until(running, 60, "the alerting consumer holds its partitions")
    services.pause(name="alerting", **by())
    wait_until(lambda: holder() is None, 15, "the slot is free")
    send(kafka, 100)
    assert services.listing(now=timezone.now())[0]["state"] == "paused"
    services.resume(name="alerting", **by())
    again = wait_until(running, 20, "it holds its partitions again")
    assert again.token > first.token
    wait_until(lambda: alerting.lag() == 0, 30, "the group is at the end")


def test_redis_flushed_and_the_worker_started_anew(parts, alerting, redis_server):
    worker = parts.worker()
    parts.beat()
    first = wait_until(running, 60, "the alerting consumer holds its partitions")
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    assert running() is not None
    worker.signal(signal.SIGKILL)
    worker.wait(10)
    parts.worker()
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    wait_until(lambda: (now := running()) is not None and now.pid != first.pid, 25, "it runs again")


def test_a_consumer_goes_on_without_redis_and_is_started_again_once_it_is_back(
    parts, alerting, kafka, redis_server
):
    parts.worker()
    parts.beat()
    first = wait_until(running, 60, "the alerting consumer holds its partitions")
    redis_server.kill()
    hot = send(kafka, 20_000)
    wait_until(lambda: alerting.lag() == 0, 60, "the group is at the end")
    assert running().pid == first.pid
    # It kept nothing, so whatever was queued is gone too.
    redis_server.start()
    os.kill(first.pid, signal.SIGKILL)
    wait_until(lambda: (now := running()) is not None and now.pid != first.pid, 30, "another holds the slot")
    assert_alerts_once(hot)


def test_after_a_redis_that_refused_writes_for_12_s_a_killed_consumer_is_back_within_10(
    parts, alerting, kafka, redis_server
):
    worker = parts.worker()
    parts.beat()
    first = wait_until(running, 60, "the alerting consumer holds its partitions")
    with redis.Redis.from_url(redis_server.url) as client:
        client.lpush("pipelines", "garbage not json")
        client.config_set("min-replicas-to-write", 1)
        refused_at = time.monotonic()
        hot = send(kafka, 5_000)
        wait_until(lambda: time.monotonic() > refused_at + 12, 20, "it has refused for 12 s")
        assert alerting.lag() == 0
        client.config_set("min-replicas-to-write", 0)
    os.kill(first.pid, signal.SIGKILL)
    wait_until(lambda: (now := running()) is not None and now.pid != first.pid, 10, "another holds the slot")
    assert worker.process.poll() is None
    assert_alerts_once(hot)


def test_a_worker_that_stops_without_a_signal_ends_and_drains(parts, alerting):
    worker = parts.worker()
    parts.beat()
    wait_until(running, 60, "the alerting consumer holds its partitions")
    # The consumer raises what ends the worker, as it does after an error it can't go on from.
    app.control.shutdown(destination=[f"celery@{socket.gethostname()}"])
    worker.wait(25)
    assert "its tasks are told to end" in worker.said()
    assert holder() is None


def test_the_command_runs_a_consumer_without_celery(parts, alerting, kafka):
    command = parts.manage("pipelines", "run", "alerting", "--json")
    wait_until(running, 60, "the command holds the partitions")
    second = parts.manage("pipelines", "run", "alerting", "--slot", "0")
    wait_until(lambda: "waiting: slot 0 is held by" in second.said(), 30, "the second waits its turn")
    hot = send(kafka, 2_000, breaking=3)
    wait_until(lambda: alerting.lag() == 0, 60, "the group is at the end")
    command.signal(signal.SIGTERM)
    assert command.wait(25) == 0
    assert '"outcome": "drained"' in command.said()
    wait_until(lambda: (now := running()) is not None and now.pid == second.pid, 20, "the second takes over")
    assert_alerts_once(hot)


# Last: a test after it would wait until the sessions of its three members are over.
def test_scaling_to_three_shares_the_partitions_four_each(parts, alerting):
    parts.worker(concurrency=7)
    parts.beat()
    wait_until(running, 60, "the alerting consumer holds its partitions")
    services.scale(name="alerting", consumers=3, **by())

    def shares() -> list[int]:
        consumers = PipelineConsumer.objects.filter(pipeline__name="alerting", expires_at__gt=timezone.now())
        return sorted(len(consumer.partitions) for consumer in consumers)

    wait_until(lambda: shares() == [4, 4, 4], 15, "4 partitions each")
