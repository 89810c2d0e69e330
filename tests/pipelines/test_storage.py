"""The database as something that may be away, and the failures it keeps."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
import redis
from django.db import OperationalError, connection

from gdsconsole.database.timeouts import PIPELINES, bound_waits, patience, unbound_waits
from gdsconsole.kafka.consuming.retries import Failure
from gdsconsole.kafka.errors import FailureKind, TransientError
from gdsconsole.kafka.partitions import TopicIdPartition
from gdsconsole.kafka.step import Batch
from gdsconsole.pipelines.models import Pipeline
from gdsconsole.pipelines.storage import StoredFailures, StoredStep, classify_failure, storage
from tests.kafka.steps import Database, StoreStep

PART = TopicIdPartition("gds.metrics.production", 3, "topic-1", "cluster-1")


def failure(**changes) -> Failure:
    fields = {
        "partition": PART,
        "offset": 41,
        "kind": FailureKind.UNKNOWN,
        "attempt": 2,
        "first_failed_at": 1768473000.0,
        "last_failed_at": 1768473002.5,
        "next_try_at": 1768473006.5,
        "error_type": "RuntimeError",
        "error": "a bug",
    }
    return Failure(**fields | changes)


@pytest.mark.django_db
def test_a_failure_is_found_by_the_next_owner_of_its_partition():
    store = StoredFailures("gds-alerting")
    store.save(failure(attempt=1))
    store.save(failure())
    other = PART._replace(partition=4)
    assert store.load([PART, other]) == {PART: failure()}
    assert StoredFailures("gds-warehouse").load([PART]) == {}
    assert store.load([PART._replace(topic_id="topic-2")]) == {}
    store.clear(PART)
    assert store.load([PART]) == {}


@pytest.mark.django_db
def test_a_steps_outage_is_transient_and_says_what_is_away():
    def locked(batch: Batch[str]) -> None:
        raise OperationalError("database is locked")

    step = StoredStep(StoreStep(Database(), before=locked))
    with pytest.raises(TransientError, match="the database is locked: database is locked"):
        step.handle(Batch((), (), {}))


@pytest.mark.django_db
def test_a_failure_of_the_step_itself_stays_what_it_is():
    def broken(batch: Batch[str]) -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        StoredStep(StoreStep(Database(), before=broken)).handle(Batch((), (), {}))


def test_what_the_step_wrote_is_asked_of_it():
    step = StoreStep(Database())
    assert StoredStep(step).written is None
    step.written = 7  # type: ignore[attr-defined]
    assert StoredStep(step).written == 7


def test_outages_of_stores_are_told_from_bugs():
    assert classify_failure(OperationalError("locked")) is FailureKind.TRANSIENT
    assert classify_failure(redis.ConnectionError("refused")) is FailureKind.TRANSIENT
    assert classify_failure(RuntimeError("a bug")) is FailureKind.UNKNOWN
    misconf = redis.ResponseError("MISCONF Redis is configured to save RDB snapshots, but it can't")
    assert classify_failure(misconf) is FailureKind.TRANSIENT
    assert classify_failure(redis.ResponseError("WRONGTYPE Operation against a key")) is FailureKind.UNKNOWN


@pytest.mark.redis
@pytest.mark.parametrize("setting", ["min-replicas-to-write", "maxmemory", "replicaof"])
def test_a_redis_that_refuses_writes_is_an_outage_whichever_way_it_is_asked(redis_url: str, setting: str):
    with redis.Redis.from_url(redis_url) as client:
        if setting == "replicaof":
            client.replicaof("127.0.0.1", "1")
        else:
            client.config_set(setting, 1)
        try:
            for ask in (
                lambda: client.set("a", "b"),
                lambda: client.pipeline().set("a", "b").execute(),
                lambda: client.eval("return redis.call('SET', KEYS[1], 'b')", 1, "a"),
            ):
                with pytest.raises(redis.RedisError) as refused:
                    ask()
                assert classify_failure(refused.value) is FailureKind.TRANSIENT, refused.value
        finally:
            client.replicaof("NO", "ONE")
            client.config_set("maxmemory", 0)
            client.config_set("min-replicas-to-write", 0)


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """A pipeline's process, whose database another has locked; call it to end that."""
    Pipeline.objects.create(name="alerting", group="gds-alerting")
    monkeypatch.setattr("gdsconsole.database.timeouts.IMPATIENT_S", 0.5)
    monkeypatch.setattr(patience, "_short_until", 0.0)
    bound_waits(PIPELINES)
    with closing(sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        yield lambda: holder.execute("ROLLBACK")
    unbound_waits()


def seconds_in_vain() -> float:
    began = time.monotonic()
    with pytest.raises(TransientError), storage():
        Pipeline.objects.update(consumers=2)
    return time.monotonic() - began


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif("connection.vendor != 'sqlite'")
def test_a_lock_holds_a_pipeline_up_for_a_second_and_then_for_less(locked):
    assert 0.9 < seconds_in_vain() < 2
    # Of a turn's other writes, each is tried.
    assert sum(seconds_in_vain() for _ in range(3)) < 1.2
    locked()
    with storage():
        assert Pipeline.objects.update(consumers=3) == 1
    time.sleep(0.6)
    with storage():
        assert Pipeline.objects.update(consumers=4) == 1
    with connection.cursor() as cursor:
        assert cursor.execute("PRAGMA busy_timeout").fetchone() == (1_000,)
