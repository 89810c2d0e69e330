"""The runtime on real brokers: what no fake can promise."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from gdsconsole.devstack.kafka_cluster import KafkaCluster
from gdsconsole.kafka.clients import new_producer
from gdsconsole.kafka.config import ClientSettings
from gdsconsole.kafka.consuming.decoding import ValueDecoder
from gdsconsole.kafka.consuming.equipment import Stores, Timing, Transport, Work
from gdsconsole.kafka.consuming.runtime import ConsumerRuntime
from gdsconsole.kafka.consuming.static_member import open_member
from gdsconsole.kafka.dead_letters.writer import DeadLetterWriter
from gdsconsole.kafka.errors import TransientError
from gdsconsole.kafka.status import ConsumerState
from gdsconsole.kafka.step import Batch
from tests.integration.offsets import committed_offsets, end_offsets
from tests.kafka.deleting import delete_before
from tests.kafka.steps import Database, MemoryFailures, MemoryHalts, StoreStep, decode_text, known_as
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka]


@pytest.fixture
def settings_of(kafka: KafkaCluster) -> ClientSettings:
    return ClientSettings(kafka.bootstrap_servers)


@contextmanager
def running(
    client: ClientSettings,
    topic: str,
    step: StoreStep,
    *,
    group: str,
    slot: int = 0,
    dlq: str | None = None,
) -> Iterator[ConsumerRuntime]:
    writer = None
    if dlq is not None:
        writer = DeadLetterWriter(new_producer(client), topic_for=lambda _: dlq, park=_no_park)
    pipeline = ConsumerRuntime(
        group,
        transport=Transport(
            open_source=lambda hooks: open_member(client, group=group, slot=slot, hooks=hooks),
            identify=known_as(),
            dead_letters=writer,
        ),
        work=Work(ValueDecoder(decode_text), step),
        stores=Stores(MemoryFailures(step.database), MemoryHalts(step.database)),
        timing=Timing(idle_s=0.1),
    )
    pipeline.subscribe([topic])
    try:
        yield pipeline
    finally:
        pipeline.close(commit=True)


def _no_park(refused: Any) -> None:
    raise AssertionError(f"nothing is parked here: {refused}")


def send(client: ClientSettings, topic: str, values: list[str | None], partition: int = -1) -> None:
    producer = Producer({"bootstrap.servers": client.bootstrap_servers, "linger.ms": 5})
    for value in values:
        producer.produce(topic, None if value is None else value.encode(), partition=partition)
    assert producer.flush(30) == 0


def run_until(
    pipeline: ConsumerRuntime, predicate: Callable[[], bool], what: str, timeout_s: float = 40
) -> None:
    def once() -> bool:
        pipeline.run_once()
        return predicate()

    wait_until(once, timeout_s, what, every_s=0)


def committed(client: ClientSettings, group: str, topic: str, partitions: int = 3) -> list[int]:
    consumer = Consumer({"bootstrap.servers": client.bootstrap_servers, "group.id": group})
    try:
        parts = [TopicPartition(topic, number) for number in range(partitions)]
        return committed_offsets(consumer, parts)
    finally:
        consumer.close()


def ends(client: ClientSettings, topic: str, partitions: int = 3) -> list[int]:
    consumer = Consumer({"bootstrap.servers": client.bootstrap_servers, "group.id": "ends"})
    try:
        return end_offsets(consumer, [TopicPartition(topic, number) for number in range(partitions)])
    finally:
        consumer.close()


def test_everything_is_applied_once_and_committed_to_the_end(settings_of, fresh_topic):
    sent = [f"m{n}" for n in range(3000)]
    send(settings_of, fresh_topic, sent)
    step = StoreStep(Database())
    with running(settings_of, fresh_topic, step, group=fresh_topic) as pipeline:
        run_until(pipeline, lambda: len(step.database.effects) >= len(sent), "all applied")
        run_until(
            pipeline,
            lambda: committed(settings_of, fresh_topic, fresh_topic) == ends(settings_of, fresh_topic),
            "commits reach the ends",
        )
        assert pipeline.snapshot().state is ConsumerState.RUNNING
    assert sorted(step.database.effects) == sorted(sent)
    assert step.is_closed


def test_an_empty_partition_is_committed_so_that_its_lag_is_known(settings_of, fresh_topic):
    send(settings_of, fresh_topic, ["one"], partition=1)
    step = StoreStep(Database())
    with running(settings_of, fresh_topic, step, group=fresh_topic) as pipeline:
        run_until(
            pipeline,
            lambda: committed(settings_of, fresh_topic, fresh_topic) == [0, 1, 0],
            "ends are committed",
        )


def test_ten_poison_among_a_thousand(settings_of, topic_factory):
    topic, dlq = topic_factory(), topic_factory()
    sent: list[str | None] = [f"m{n}" for n in range(1000)]
    for n in range(9):
        sent.insert(n * 100 + 7, f"bad{n}")
    sent.insert(500, None)
    send(settings_of, topic, sent)
    step = StoreStep(Database())
    with running(settings_of, topic, step, group=topic, dlq=dlq) as pipeline:
        run_until(pipeline, lambda: len(step.database.effects) >= 1000, "the good are applied")
        run_until(
            pipeline, lambda: committed(settings_of, topic, topic) == ends(settings_of, topic), "committed"
        )
        assert pipeline.counters.dead_letters == 10
    assert sum(ends(settings_of, dlq)) == 10
    assert len(step.database.effects) == 1000


def test_transaction_markers_leave_no_lag(settings_of, fresh_topic):
    producer = Producer({"bootstrap.servers": settings_of.bootstrap_servers, "transactional.id": fresh_topic})
    producer.init_transactions(30)
    for commits in (True, True, False):
        producer.begin_transaction()
        producer.produce(fresh_topic, b"m", partition=0)
        producer.flush(10)
        if commits:
            producer.commit_transaction(30)
        else:
            producer.abort_transaction(30)
    step = StoreStep(Database())
    with running(settings_of, fresh_topic, step, group=fresh_topic) as pipeline:
        run_until(
            pipeline,
            lambda: (
                committed(settings_of, fresh_topic, fresh_topic)[0] == ends(settings_of, fresh_topic)[0] == 6
            ),
            "markers are committed past",
        )
    assert step.database.effects == ["m", "m"]


def test_records_deleted_before_they_were_read_are_counted(settings_of, fresh_topic, kafka_admin):
    send(settings_of, fresh_topic, ["a", "b"], partition=0)
    step = StoreStep(Database())
    with running(settings_of, fresh_topic, step, group=fresh_topic) as pipeline:
        run_until(pipeline, lambda: len(step.database.effects) == 2, "the first are applied")
    send(settings_of, fresh_topic, ["c", "d", "e", "f"], partition=0)
    delete_before(kafka_admin, fresh_topic, 0, 5)
    again = StoreStep(step.database)
    with running(settings_of, fresh_topic, again, group=fresh_topic) as pipeline:
        run_until(pipeline, lambda: len(step.database.effects) == 3, "what is left is applied")
        assert pipeline.counters.lost == 3
    assert step.database.effects == ["a", "b", "f"]


def test_a_long_backoff_never_gets_the_consumer_evicted(kafka, fresh_topic):
    impatient = ClientSettings(
        kafka.bootstrap_servers, {"max.poll.interval.ms": "6000", "session.timeout.ms": "6000"}
    )
    sent = [f"m{n}" for n in range(30)]
    send(impatient, fresh_topic, sent)
    until = time.monotonic() + 15

    def locked(batch: Batch[str]) -> None:
        if time.monotonic() < until:
            raise TransientError("database: locked")

    step = StoreStep(Database(), before=locked)
    with running(impatient, fresh_topic, step, group=fresh_topic) as pipeline:
        run_until(pipeline, lambda: pipeline.snapshot().state is ConsumerState.RETRYING, "it backs off")
        rebalances = pipeline.snapshot().counters["rebalances"]
        run_until(pipeline, lambda: len(step.database.effects) >= len(sent), "applied in the end", 60)
        assert pipeline.snapshot().counters["rebalances"] == rebalances
        assert pipeline.counters.retries >= 3
    assert sorted(step.database.effects) == sorted(sent)


def test_all_brokers_down_for_a_while(kafka, settings_of, topic_factory):
    topic, dlq = topic_factory(), topic_factory()
    send(settings_of, topic, [f"m{n}" for n in range(500)] + ["bad0"])
    step = StoreStep(Database())
    with running(settings_of, topic, step, group=topic, dlq=dlq) as pipeline:
        run_until(pipeline, lambda: len(step.database.effects) >= 500, "the first are applied")
        for number in (1, 2, 3):
            kafka.broker(number).kill()
        run_until(pipeline, lambda: bool(pipeline.snapshot().reason), "it says that the brokers are away")
        kafka.restore()
        send(settings_of, topic, [f"n{n}" for n in range(500)] + ["bad1"])
        run_until(pipeline, lambda: len(step.database.effects) >= 1000, "the rest is applied", 30)
        run_until(
            pipeline, lambda: committed(settings_of, topic, topic) == ends(settings_of, topic), "committed"
        )
    assert len(step.database.effects) == len(set(step.database.effects)) == 1000
    assert sum(ends(settings_of, dlq)) == 2


def test_a_member_that_comes_back_within_its_session_reads_the_topics_it_asks_for_now(
    settings_of, topic_factory
):
    old, new = topic_factory(), topic_factory()
    step = StoreStep(Database())
    with running(settings_of, old, step, group=old) as pipeline:
        run_until(pipeline, lambda: len(pipeline.snapshot().partitions) == 3, "it holds the old topic")
    send(settings_of, new, ["a", "b", "c"])
    with running(settings_of, old, step, group=old) as pipeline:
        pipeline.subscribe([old, new])

        def is_all_read() -> bool:
            # As the loop around it does with every renewal of its lease.
            pipeline.subscribe([old, new])
            return sorted(step.database.effects) == ["a", "b", "c"]

        run_until(pipeline, is_all_read, "the new topic is read", timeout_s=20)
        assert len(pipeline.snapshot().partitions) == 6
