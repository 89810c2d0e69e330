from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from gdsconsole.devstack import ports
from gdsconsole.devstack.kafka_cluster import KafkaCluster
from gdsconsole.kafka.clients import ClientSettings, Producer, new_producer
from gdsconsole.kafka.errors import FencedError, KafkaUnavailable
from gdsconsole.kafka.producing.sender import OutgoingRecord, RecordSender
from gdsconsole.kafka.producing.transactions import (
    TransactionAborted,
    TransactionOutcomeUnknown,
    init_transactions,
    send_offsets,
    transaction,
)
from tests.kafka.reading import read_all
from tests.waiting import wait_until


@pytest.fixture
def settings(kafka: KafkaCluster) -> ClientSettings:
    return ClientSettings(kafka.bootstrap_servers)


def transactional(settings: ClientSettings, transactional_id: str | None = None) -> Producer:
    producer = new_producer(settings, transactional_id=transactional_id or uuid.uuid4().hex)
    init_transactions(producer, settings)
    return producer


def values(settings: ClientSettings, topic: str, isolation_level: str = "read_committed") -> list[bytes]:
    return sorted(record.value() for record in read_all(settings, topic, isolation_level=isolation_level))


@pytest.mark.kafka
def test_a_committed_transaction_is_visible_at_once(settings: ClientSettings, fresh_topic: str) -> None:
    producer = transactional(settings)
    for group in (b"a", b"b"):
        with transaction(producer):
            RecordSender(producer, fresh_topic, alone=False).send(
                [OutgoingRecord(group), OutgoingRecord(group)]
            )
    assert values(settings, fresh_topic) == [b"a", b"a", b"b", b"b"]


@pytest.mark.kafka
def test_a_failing_block_leaves_nothing_visible(settings: ClientSettings, fresh_topic: str) -> None:
    producer = transactional(settings)

    def fail_after_delivery() -> None:
        sender = RecordSender(producer, fresh_topic, alone=False)
        with transaction(producer):
            sender.send([OutgoingRecord(b"a"), OutgoingRecord(b"b")])
            assert sender.finish().delivered == 2
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_delivery()
    assert values(settings, fresh_topic) == []
    # The naive reader sees what was taken back: so the records were there.
    assert values(settings, fresh_topic, "read_uncommitted") == [b"a", b"b"]


@pytest.mark.kafka
def test_a_refused_record_aborts_the_transaction_and_a_new_producer_goes_on(
    settings: ClientSettings, topic_factory: Callable[..., str]
) -> None:
    topic = topic_factory(config={"max.message.bytes": "20000"})
    transactional_id = uuid.uuid4().hex

    def send(*sent: bytes) -> None:
        producer = transactional(settings, transactional_id)
        with transaction(producer):
            RecordSender(producer, topic, alone=False).send(OutgoingRecord(value) for value in sent)

    with pytest.raises(TransactionAborted, match="MSG_SIZE_TOO_LARGE"):
        send(b"a", os.urandom(30_000), b"b")
    assert values(settings, topic) == []
    send(b"c")
    assert values(settings, topic) == [b"c"]


@pytest.mark.kafka
def test_a_producer_replaced_by_another_of_its_id_is_fenced(
    settings: ClientSettings, fresh_topic: str
) -> None:
    old = transactional(settings, transactional_id := uuid.uuid4().hex)

    def send_when_replaced() -> None:
        with transaction(old):
            transactional(settings, transactional_id)
            RecordSender(old, fresh_topic, alone=False).send([OutgoingRecord(b"late")])

    with pytest.raises(FencedError):
        send_when_replaced()
    assert values(settings, fresh_topic) == []


@pytest.mark.kafka
def test_a_group_coordinator_that_left_holds_nobody_up(
    settings: ClientSettings, kafka: KafkaCluster, kafka_admin: AdminClient, fresh_topic: str
) -> None:
    group = f"offsets-{uuid.uuid4().hex}"
    transactional_id = uuid.uuid4().hex
    member = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": group})
    place = TopicPartition(fresh_topic, 0)

    def commit(producer: Producer, offset: int) -> None:
        with transaction(producer, timeout_s=8):
            at = [TopicPartition(fresh_topic, 0, offset)]
            send_offsets(producer, at, member.consumer_group_metadata(), timeout_s=2)

    producer = transactional(settings, transactional_id)
    commit(producer, 1)
    told = kafka_admin.describe_consumer_groups([group])[group].result(10)
    kafka.broker(told.coordinator.id).kill()
    wait_until(
        lambda: told.coordinator.id not in producer.list_topics(timeout=10).brokers, 20, "the broker has left"
    )
    began = time.monotonic()
    with pytest.raises(TransactionAborted):
        commit(producer, 2)
    assert time.monotonic() - began < 8
    commit(transactional(settings, transactional_id), 3)
    assert member.committed([place], timeout=10)[0].offset == 3
    member.close()


def test_a_cluster_that_is_down_is_named() -> None:
    nowhere = ClientSettings(f"127.0.0.1:{ports.free(1)[0]}")
    producer = new_producer(nowhere, transactional_id="x")
    with pytest.raises(KafkaUnavailable, match=nowhere.bootstrap_servers):
        init_transactions(producer, nowhere, timeout_s=0.5)


class SilentAtCommit:
    """A producer whose brokers stop answering when the commit has been asked for."""

    def __init__(self) -> None:
        self.asked = 0

    def begin_transaction(self) -> None: ...

    def commit_transaction(self, timeout: float) -> None:
        self.asked += 1
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "no answer", retriable=self.asked < 3))


def test_a_commit_without_an_answer_is_unknown_and_not_called_aborted() -> None:
    producer = SilentAtCommit()
    with pytest.raises(TransactionOutcomeUnknown), transaction(producer):  # type: ignore[arg-type]
        pass
    assert producer.asked == 3
