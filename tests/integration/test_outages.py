"""What pipelines stand on goes away while messages come: each is stored once, and none is dead-lettered."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from confluent_kafka.admin import AdminClient

from gdsconsole.devstack.kafka_cluster import KafkaCluster
from gdsconsole.devstack.redis_server import RedisServer
from gdsconsole.live.snapshots import latest
from gdsconsole.pipelines.models import PartitionFailure, PipelineConsumer
from tests.integration.stream import Stream, open_stream
from tests.waiting import wait_until
from topics.models import Alert, MetricPoint

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.redis,
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(300),
]

PER_S = 200
OUTAGE_S = 30.0


@pytest.fixture
def stream(
    kafka: KafkaCluster,
    topic_factory: Callable[..., str],
    redis_url: str,
    subprocess_environment: dict[str, str],
    tmp_path: Path,
    settings: Any,
) -> Iterator[Stream]:
    """Alerting, the warehouse and the index of dead letters at work."""
    environment = {**subprocess_environment, "GDS_WAREHOUSE_BATCH_SECONDS": "1"}
    with open_stream(kafka, topic_factory, environment, tmp_path, seed=30) as opened:
        settings.GDS_ORGANIZATION = opened.organization
        for name in ("alerting", "warehouse", "dlq-index"):
            opened.start(name)
        yield opened


def goes_on(stream: Stream, within_s: float, when: str) -> None:
    """Messages are taken, and what is sent from now on is stored by both groups."""
    told = stream.acknowledged
    points, alerts = len(told.values) + PER_S, len(told.breaking) + PER_S // 20
    began = time.monotonic()
    wait_until(lambda: MetricPoint.objects.count() >= points, within_s, f"points {when}")
    left_s = max(0.0, began + within_s - time.monotonic())
    wait_until(lambda: Alert.objects.count() >= alerts, left_s, f"alerts {when}")


def lasts(seconds: float, stream: Stream) -> None:
    """An outage goes on, and every consumer lives through it."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= end or stream.ended(), seconds + 5, "the outage is over")
    assert not stream.ended()


def assert_none_lost_none_doubled(stream: Stream) -> None:
    assert stream.acknowledged.refused == []
    stream.drain()
    assert stream.faults() == {}
    assert stream.acknowledged.poison
    assert not PartitionFailure.objects.exists(), "what failed is over"


def test_a_killed_leader_and_all_brokers_down(
    stream: Stream, kafka: KafkaCluster, kafka_admin: AdminClient
) -> None:
    with stream.traffic.flowing(PER_S):
        goes_on(stream, 60, "at first")
        leader = (
            kafka_admin.list_topics(stream.metrics, timeout=10).topics[stream.metrics].partitions[0].leader
        )
        kafka.broker(leader).kill()
        goes_on(stream, 20, "under another leader")
        kafka.restore()
        goes_on(stream, 20, "with the broker back")
        for broker in kafka.brokers:
            broker.kill()
        lasts(OUTAGE_S, stream)
        assert all(reasons().values()), "each says what it waits for"
        kafka.restore()
        goes_on(stream, 30, "with all brokers back")
    assert_none_lost_none_doubled(stream)


def reasons() -> dict[str, str]:
    return dict(PipelineConsumer.objects.values_list("pipeline__name", "reason"))


def test_redis_flushed_and_away_and_the_database_locked(
    stream: Stream, redis_server: RedisServer, settings: Any
) -> None:
    with stream.traffic.flowing(PER_S):
        goes_on(stream, 60, "at first")
        with redis.Redis.from_url(redis_server.url) as client:
            client.flushall()
        goes_on(stream, 20, "with Redis emptied")
        redis_server.kill()
        goes_on(stream, 20, "without Redis")
        with database_locked(settings.DATABASES["default"]["NAME"]):
            lasts(OUTAGE_S / 2, stream)
            redis_server.start()
            lasts(OUTAGE_S / 2, stream)
            told = latest("pipeline.stats") or {}
            assert {"alerting/0", "warehouse/0"} <= {
                key for key, data in told.items() if "database" in data["reason"]
            }
        goes_on(stream, 30, "with the database back")
    assert_none_lost_none_doubled(stream)


@contextmanager
def database_locked(name: str) -> Iterator[None]:
    """Nobody else writes; in write-ahead mode they read on."""
    with closing(sqlite3.connect(name, isolation_level=None, timeout=20)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")
