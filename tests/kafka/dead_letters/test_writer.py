from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from confluent_kafka import KafkaError
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gdsconsole.devstack import ports
from gdsconsole.devstack.kafka_cluster import KafkaCluster
from gdsconsole.kafka.clients import ClientSettings, Producer, new_producer
from gdsconsole.kafka.dead_letters.envelope import PREFIX, DeadLetterContext, decode
from gdsconsole.kafka.dead_letters.writer import RENEW_EVERY, DeadLetterWriter, FlushResult, RefusedDeadLetter
from gdsconsole.kafka.errors import DeadLettersNotWritten, FailureKind, classify
from gdsconsole.kafka.producing.sender import OutgoingRecord, RecordSender
from tests.factories import make_record
from tests.kafka.fake_kafka import FakeBroker, FakeProducer
from tests.kafka.reading import read_all

TopicFactory = Callable[..., str]
OnItsWay = Callable[[list[Any]], tuple[list[Any], list[Any]]]
NOON = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
CONTEXT = DeadLetterContext(
    group="gds-alerting", error="not JSON", error_type="NotJson", attempt=1, failed_at=NOON
)


class Parked:
    """A park in memory; `fails` is what it raises instead."""

    def __init__(self) -> None:
        self.refused: list[RefusedDeadLetter] = []
        self.fails: Exception | None = None

    def __call__(self, refused: Sequence[RefusedDeadLetter]) -> None:
        if self.fails is not None:
            raise self.fails
        self.refused += refused


@pytest.fixture
def settings(kafka: KafkaCluster) -> ClientSettings:
    return ClientSettings(kafka.bootstrap_servers)


@pytest.fixture
def park() -> Parked:
    return Parked()


def make_writer(producer: Producer, topic: str, park: Parked, **changes: Any) -> DeadLetterWriter:
    return DeadLetterWriter(producer, topic_for=lambda source: topic, park=park, **changes)


any_bytes = st.none() | st.binary(max_size=60)
# The client library ends a header's name at a NUL.
header_names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12).filter(
    lambda name: not name.startswith(PREFIX)
)
originals = st.tuples(any_bytes, any_bytes, st.lists(st.tuples(header_names, any_bytes), max_size=4))


@pytest.fixture
def on_its_way(settings: ClientSettings, topic_factory: TopicFactory, park: Parked) -> OnItsWay:
    """Sends records, writes each of them as a dead letter, and returns both as a reader finds them."""
    source, dlq = topic_factory(partitions=1), topic_factory(partitions=1)
    producer = new_producer(settings)
    sender, writer = RecordSender(producer, source), make_writer(producer, dlq, park)

    def through(given_records: list[Any]) -> tuple[list[Any], list[Any]]:
        sender.send(OutgoingRecord(value, key, headers) for key, value, headers in given_records)
        sender.finish()
        sent = read_all(settings, source)[-len(given_records) :]
        for record in sent:
            writer.add(record, CONTEXT)
        assert writer.flush() == FlushResult(len(given_records), 0)
        return sent, read_all(settings, dlq)[-len(given_records) :]

    return through


@pytest.mark.kafka
@hypothesis_settings(
    max_examples=20,
    deadline=None,
    phases=[Phase.generate],  # an example goes to brokers and back: shrinking one would take minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(given_records=st.lists(originals, min_size=1, max_size=20))
def test_records_survive_the_broker_byte_for_byte(on_its_way: OnItsWay, given_records: list[Any]) -> None:
    sent, written = on_its_way(given_records)
    letters = [decode(record) for record in written]
    assert [(letter.key, letter.value, letter.headers) for letter in letters] == given_records
    tps = [(record.topic(), record.offset()) for record in sent]
    assert [(letter.topic, letter.offset) for letter in letters] == tps


@pytest.mark.kafka
def test_a_dead_letter_keeps_its_key_and_its_own_time(
    settings: ClientSettings, topic_factory: TopicFactory, park: Parked
) -> None:
    dlq = topic_factory(partitions=1)
    writer = make_writer(new_producer(settings), dlq, park)
    before = time.time()
    writer.add(make_record(offset=7), CONTEXT)
    writer.flush()

    [record] = read_all(settings, dlq)
    assert record.key() == b"postgresql:prod-db-01"
    # Its retention counts from the failure, not from the message's own time a year ago.
    assert record.timestamp()[1] / 1000 >= before - 1
    assert decode(record).timestamp == datetime(2026, 1, 15, 10, 30, tzinfo=UTC)


@pytest.mark.kafka
def test_a_record_of_the_largest_size_a_topic_takes_fits_with_its_headers_uncompressed(
    settings: ClientSettings, topic_factory: TopicFactory, park: Parked
) -> None:
    dlq = topic_factory(partitions=1)
    writer = make_writer(new_producer(settings), dlq, park)
    writer.add(make_record(value=os.urandom(1_040_000)), CONTEXT)
    assert writer.flush() == FlushResult(1, 0)


@pytest.mark.kafka
def test_what_the_broker_refuses_is_parked_and_its_neighbours_are_written(
    settings: ClientSettings, topic_factory: TopicFactory, park: Parked
) -> None:
    dlq = topic_factory(partitions=1, config={"max.message.bytes": "20000"})
    writer = make_writer(new_producer(settings), dlq, park)
    large = os.urandom(30_000)
    for offset in range(10):
        writer.add(make_record(offset=offset, value=large if offset in {0, 4} else b"small"), CONTEXT)

    assert writer.flush() == FlushResult(8, 2)
    assert writer.pending == 0
    assert [(r.letter.offset, r.letter.value, r.dlq_topic) for r in park.refused] == [
        (0, large, dlq),
        (4, large, dlq),
    ]
    assert "MSG_SIZE_TOO_LARGE" in park.refused[0].reason
    assert park.refused[0].letter.error == "not JSON"
    offsets = sorted(decode(record).offset or 0 for record in read_all(settings, dlq))
    assert offsets == [1, 2, 3, 5, 6, 7, 8, 9]


@pytest.mark.kafka
def test_a_null_key_in_a_compacted_topic_is_parked(
    settings: ClientSettings, topic_factory: TopicFactory, park: Parked
) -> None:
    dlq = topic_factory(partitions=1, config={"cleanup.policy": "compact"})
    writer = make_writer(new_producer(settings), dlq, park)
    for key in (b"a", None, b"b"):
        writer.add(make_record(key=key), CONTEXT)
    assert writer.flush() == FlushResult(2, 1)
    assert [refused.letter.key for refused in park.refused] == [None]


@pytest.mark.kafka
def test_what_can_not_be_parked_stays_pending_and_is_tried_again(
    settings: ClientSettings, topic_factory: TopicFactory, park: Parked
) -> None:
    dlq = topic_factory(partitions=1, config={"max.message.bytes": "20000"})
    writer = make_writer(new_producer(settings), dlq, park)
    writer.add(make_record(value=os.urandom(30_000)), CONTEXT)
    park.fails = OSError("database is locked")
    with pytest.raises(OSError, match="locked"):
        writer.flush()
    assert writer.pending == 1
    park.fails = None
    assert writer.flush() == FlushResult(0, 1)


@pytest.mark.kafka
def test_a_missing_topic_is_no_outage(settings: ClientSettings, park: Parked) -> None:
    producer = new_producer(settings, topic_metadata_propagation_max_ms=500)
    writer = make_writer(producer, "gds.tests.absent", park)
    writer.add(make_record(), CONTEXT)
    with pytest.raises(DeadLettersNotWritten, match=r"gds\.tests\.absent.*UNKNOWN_TOPIC") as caught:
        writer.flush()
    assert not caught.value.transient
    assert classify(caught.value) is FailureKind.UNKNOWN
    assert writer.pending == 1


def test_an_outage_is_transient_within_the_bound_and_nothing_is_forgotten(park: Parked) -> None:
    nowhere = ClientSettings(f"127.0.0.1:{ports.free(1)[0]}")
    writer = make_writer(new_producer(nowhere), "gds.metrics.dlq", park)
    for offset in range(5):
        writer.add(make_record(offset=offset), CONTEXT)
    began = time.monotonic()
    with pytest.raises(DeadLettersNotWritten, match="5 dead letter") as caught:
        writer.flush(timeout_s=0.3)
    assert time.monotonic() - began < 5
    assert classify(caught.value) is FailureKind.TRANSIENT
    assert writer.pending == 5
    writer.discard()
    assert writer.pending == 0
    assert writer.flush() == FlushResult(0, 0)


def test_a_full_buffer_in_an_outage_is_transient_within_the_bound(park: Parked) -> None:
    nowhere = ClientSettings(f"127.0.0.1:{ports.free(1)[0]}")
    producer = new_producer(nowhere, queue_buffering_max_messages=2)
    writer = make_writer(producer, "gds.metrics.dlq", park, timeout_s=0.2)
    for offset in range(4):
        writer.add(make_record(offset=offset), CONTEXT)
    with pytest.raises(DeadLettersNotWritten, match="4 dead letter") as caught:
        writer.flush()
    assert caught.value.transient


@pytest.mark.kafka
def test_a_flush_that_failed_can_be_repeated_when_the_brokers_are_back(
    settings: ClientSettings, kafka: KafkaCluster, fresh_topic: str, park: Parked
) -> None:
    writer = make_writer(new_producer(settings, queue_buffering_max_messages=8), fresh_topic, park)
    for broker in kafka.brokers:
        broker.freeze()
    try:
        for offset in range(8):
            writer.add(make_record(offset=offset), CONTEXT)
        with pytest.raises(DeadLettersNotWritten):
            writer.flush(timeout_s=0.5)
    finally:
        for broker in kafka.brokers:
            broker.thaw()
    assert writer.flush(timeout_s=60) == FlushResult(8, 0)
    assert {decode(record).offset for record in read_all(settings, fresh_topic)} == set(range(8))


def test_an_empty_flush_asks_nobody(park: Parked) -> None:
    nowhere = ClientSettings(f"127.0.0.1:{ports.free(1)[0]}")
    assert make_writer(new_producer(nowhere), "gds.metrics.dlq", park).flush() == FlushResult(0, 0)


def test_after_dead_letters_that_nobody_acknowledged_another_producer_goes_on(park: Parked) -> None:
    """One that knew its topic before that was deleted and made again waits for leaders that are gone."""
    broker = FakeBroker({"dead": 1})
    first, second = FakeProducer(broker), FakeProducer(broker)
    first.refuse = KafkaError._MSG_TIMED_OUT
    writer = DeadLetterWriter(
        first,  # type: ignore[arg-type]
        topic_for=lambda topic: "dead",
        park=park,
        renew=lambda: second,  # type: ignore[arg-type,return-value]
    )
    for _ in range(RENEW_EVERY):
        writer.add(make_record(value=b"bad"), CONTEXT)
        with pytest.raises(DeadLettersNotWritten):
            writer.flush(timeout_s=0.1)
        writer.discard()
    writer.add(make_record(value=b"bad"), CONTEXT)
    assert writer.flush().written == 1
    assert broker.values("dead") == [b"bad"]
