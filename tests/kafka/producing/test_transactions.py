from __future__ import annotations

import os
import uuid
from collections.abc import Callable

import pytest
from confluent_kafka import KafkaError, KafkaException

from gdsconsole.devstack import ports
from gdsconsole.devstack.kafka_cluster import KafkaCluster
from gdsconsole.kafka.clients import ClientSettings, Producer, new_producer
from gdsconsole.kafka.errors import FencedError, KafkaUnavailable
from gdsconsole.kafka.producing.sender import OutgoingRecord, RecordSender
from gdsconsole.kafka.producing.transactions import (
    TransactionAborted,
    TransactionOutcomeUnknown,
    init_transactions,
    transaction,
)
from tests.kafka.reading import read_all


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
