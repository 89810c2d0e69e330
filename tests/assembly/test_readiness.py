"""`/readyz` is about the parts, each by itself, and tells nothing that a stranger should not know."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.conf import settings
from django.test import Client
from django.utils import timezone

from gdsconsole import heartbeat
from gdsconsole.assembly import readiness
from gdsconsole.devstack.kafka_cluster import KafkaCluster
from gdsconsole.devstack.redis_server import RedisServer
from gdsconsole.pipelines import services
from gdsconsole.pipelines.models import PipelineConsumer
from gdsconsole.workers import marks
from tests.factories import by
from tests.waiting import wait_until

NOW = timezone.now()


def part(name: str) -> readiness.PartReadiness:
    return next(one for one in readiness.read() if one.name == name)


def one_part(name: str) -> readiness.PartReadiness:
    """Without asking the others, which takes seconds where there is no Kafka."""
    return readiness._checked(name, readiness.CHECKS[name])


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "_kept", None)
    monkeypatch.setattr(readiness, "KEPT_FOR_S", 0.0)


def make_consumer(**fields: object) -> PipelineConsumer:
    given = {"state": "running", "partitions": ["t-0"], "expires_at": NOW + timedelta(seconds=5), **fields}
    return PipelineConsumer(**given)


@pytest.mark.parametrize(
    ("fields", "holds"),
    [
        ({}, True),
        ({"partitions": []}, False),
        ({"state": "halted"}, True),
        ({"state": "starting"}, False),
        ({"expires_at": NOW - timedelta(seconds=1)}, False),
        ({"expires_at": None}, False),
    ],
)
def test_a_pipeline_runs_when_a_consumer_holds_partitions(fields: dict[str, object], holds: bool) -> None:
    assert readiness.holds_partitions([make_consumer(**fields)], NOW) is holds
    assert readiness.holds_partitions([], NOW) is False


@pytest.mark.redis
@pytest.mark.django_db
def test_workers_are_heard_of_by_their_mark(redis_server: RedisServer) -> None:
    assert one_part("workers") == readiness.PartReadiness(
        "workers", False, "beat and worker have not been heard of yet"
    )
    heartbeat.heartbeat()
    assert one_part("workers").detail == "no worker takes tasks from default, pipelines, replay"
    leave_mark("default", "replay")
    assert one_part("workers").detail == "no worker takes tasks from pipelines"
    leave_mark("pipelines", answered_s=30.0)
    assert one_part("workers").detail == "no worker takes tasks from pipelines", "its consumer hears nothing"
    leave_mark("pipelines", at=time.time() - 30)
    assert one_part("workers").detail == "no worker takes tasks from pipelines", "it fell silent"
    leave_mark("pipelines")
    assert one_part("workers").ok


def leave_mark(*queues: str, **changes: Any) -> None:
    said = {"name": f"{queues[0]}@node-7", "host": "node-7", "pid": 4711, "queues": queues, "processes": 2}
    made = {**said, "answered_s": 0.5, "at": time.time(), **changes}
    marks.write(settings.REDIS_URL, marks.Mark(**made))


@pytest.mark.redis
@pytest.mark.django_db
def test_redis_that_refuses_writes_is_not_ready(redis_server: RedisServer) -> None:
    assert one_part("redis") == readiness.PartReadiness("redis", True, "takes writes")
    with redis.Redis.from_url(redis_server.url) as client:
        client.config_set("min-replicas-to-write", 1)
        try:
            said = one_part("redis").detail
        finally:
            client.config_set("min-replicas-to-write", 0)
    assert said == "refuses writes: NOREPLICAS Not enough good replicas to write."


@pytest.mark.redis
@pytest.mark.django_db
def test_pipelines_that_are_all_paused_keep_nothing_from_being_ready(redis_server: RedisServer) -> None:
    assert one_part("pipelines").detail == "none is declared yet"
    services.ensure(groups={"alerting": "gds-alerting"})
    assert one_part("pipelines").detail == "alerting has no partitions yet"
    services.pause(name="alerting", **by())
    assert one_part("pipelines").ok


@pytest.mark.redis
@pytest.mark.django_db
def test_an_old_mark_is_no_worker(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    heartbeat.heartbeat()
    monkeypatch.setattr(readiness, "OLDEST_HEARTBEAT_S", -1)
    assert not part("workers").ok


@pytest.mark.redis
@pytest.mark.django_db
def test_redis_that_is_down_is_one_part(redis_server: RedisServer) -> None:
    redis_server.kill()
    assert part("redis") == readiness.PartReadiness("redis", False, "does not answer")
    assert part("database").ok


@pytest.mark.kafka
@pytest.mark.django_db
def test_kafka_with_a_missing_broker_is_not_ready(kafka: KafkaCluster, fresh_topic: str) -> None:
    assert part("kafka") == readiness.PartReadiness("kafka", True, "3 brokers")
    kafka.broker(3).kill()
    wait_until(lambda: not part("kafka").ok, 20, "the loss shows")
    assert "broker 3 is missing" in part("kafka").detail


@pytest.mark.redis
@pytest.mark.django_db
def test_anybody_may_ask_and_learns_no_address(
    client: Client, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    monkeypatch.setattr(readiness, "KAFKA_TIMEOUT_S", 0.2)
    reply = client.get("/readyz")
    assert reply.status_code == 503
    assert reply.json()["ok"] is False
    assert "127.0.0.1" not in reply.content.decode()
