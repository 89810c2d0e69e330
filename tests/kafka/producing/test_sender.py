from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from gdsconsole.devstack import ports
from gdsconsole.devstack.kafka_cluster import KafkaCluster
from gdsconsole.kafka.clients import ClientSettings, new_producer
from gdsconsole.kafka.errors import InvalidMessage
from gdsconsole.kafka.producing.sender import (
    KEY_STRATEGIES,
    OutgoingRecord,
    RecordSender,
    SendReport,
    SendStalled,
    send_one,
)
from tests.factories import make_record
from tests.kafka.reading import read_all
from topics.telemetry import Metric, decode_metric

TopicFactory = Callable[..., str]
Put = Callable[[RecordSender, Sequence[OutgoingRecord]], int]


def put_as_batch(sender: RecordSender, given: Sequence[OutgoingRecord]) -> int:
    return sender.send_batch([{"value": record.value, "key": record.key} for record in given])


both_ways = pytest.mark.parametrize(
    "put", [RecordSender.send, put_as_batch], ids=["one by one", "as a batch"]
)


def make_metric(**tags: str) -> Metric:
    metric = decode_metric(make_record().value())
    return Metric(**{name: getattr(metric, name) for name in metric.__struct_fields__} | {"tags": tags})


@pytest.mark.parametrize(
    ("strategy", "key"),
    [
        ("instance", b"postgresql:prod-db-01"),
        ("metric", b"cpu_usage_percent"),
        ("tenant", b"acme"),
        ("none", None),
    ],
)
def test_the_key_is_made_by_the_strategy(strategy: Any, key: bytes | None) -> None:
    assert KEY_STRATEGIES[strategy](make_metric(tenant_id="acme")) == key


@pytest.mark.parametrize("tags", [{}, {"tenant_id": ""}])
def test_a_metric_without_tenant_can_not_be_keyed_by_tenant(tags: dict[str, str]) -> None:
    with pytest.raises(InvalidMessage, match=r"tags\.tenant_id"):
        KEY_STRATEGIES["tenant"](make_metric(**tags))


@pytest.fixture
def settings(kafka: KafkaCluster) -> ClientSettings:
    return ClientSettings(kafka.bootstrap_servers)


@pytest.fixture
def nowhere() -> ClientSettings:
    """Settings of a cluster that isn't there."""
    return ClientSettings(f"127.0.0.1:{ports.free(1)[0]}")


@pytest.mark.kafka
def test_one_record_and_its_delivery_report(settings: ClientSettings, fresh_topic: str) -> None:
    producer = new_producer(settings)
    headers = [("trace", b"\xff"), ("trace", None)]
    first = send_one(producer, fresh_topic, OutgoingRecord(b"v", b"k", headers, timestamp_ms=1768473000123))
    second = send_one(producer, fresh_topic, OutgoingRecord(None, b"k"))

    assert (first.error, second.error) == (None, None)
    assert first.partition == second.partition
    assert (first.offset, second.offset) == (0, 1)
    [record, tombstone] = read_all(settings, fresh_topic)
    assert (record.key(), record.value(), record.headers()) == (b"k", b"v", headers)
    assert record.timestamp()[1] == 1768473000123
    assert tombstone.value() is None


@pytest.mark.kafka
def test_one_record_that_is_refused_says_why_and_has_no_offset(
    settings: ClientSettings, topic_factory: TopicFactory
) -> None:
    topic = topic_factory(config={"max.message.bytes": "1000"})
    delivery = send_one(new_producer(settings), topic, OutgoingRecord(os.urandom(5000), b"k"))
    assert (delivery.partition, delivery.offset) == (None, None)
    assert "MSG_SIZE_TOO_LARGE" in (delivery.error or "")


def test_one_record_to_a_cluster_that_is_down_is_reported_within_the_bound(nowhere: ClientSettings) -> None:
    began = time.monotonic()
    delivery = send_one(new_producer(nowhere), "gds.metrics.production", OutgoingRecord(b"v"), timeout_s=1.0)
    assert delivery.error == "not acknowledged in 1 s"
    assert time.monotonic() - began < 5


def records(count: int) -> list[OutgoingRecord]:
    return [OutgoingRecord(f"v{n}".encode(), f"k{n % 50}".encode(), reference=n) for n in range(count)]


def values_by_key(found: list[Any]) -> dict[bytes, list[bytes]]:
    by_key: dict[bytes, list[bytes]] = {}
    for record in found:
        by_key.setdefault(record.key(), []).append(record.value())
    return by_key


@pytest.mark.kafka
@both_ways
def test_a_full_buffer_is_backpressure_and_keeps_each_keys_order(
    settings: ClientSettings, fresh_topic: str, put: Put
) -> None:
    producer = new_producer(settings, queue_buffering_max_messages=7, linger_ms=0)
    sender = RecordSender(producer, fresh_topic)
    given = records(2000)
    taken = put(sender, given)

    assert taken == 2000
    assert sender.finish() == SendReport(2000, 2000, 0, 0)
    found = values_by_key(read_all(settings, fresh_topic))
    for n in range(50):
        assert found[f"k{n}".encode()] == [f"v{i}".encode() for i in range(n, 2000, 50)]


@pytest.mark.kafka
def test_large_records_in_a_batch_keep_their_keys_order_in_a_buffer_bounded_by_bytes(
    settings: ClientSettings, fresh_topic: str
) -> None:
    producer = new_producer(settings, queue_buffering_max_kbytes=64)
    sender = RecordSender(producer, fresh_topic)
    given = [b"%04d" % n + b"x" * (9000 if n % 3 else 10) for n in range(300)]
    sender.send_batch([{"value": value, "key": b"k"} for value in given])

    assert sender.finish().delivered == 300
    assert [record.value() for record in read_all(settings, fresh_topic)] == given


@both_ways
def test_undelivered_records_are_counted_within_the_bound(nowhere: ClientSettings, put: Put) -> None:
    sender = RecordSender(new_producer(nowhere), "gds.metrics.production")
    put(sender, records(100))
    began = time.monotonic()
    assert sender.finish(timeout_s=0.5) == SendReport(100, 0, 0, 100)
    assert time.monotonic() - began < 5


@both_ways
def test_a_buffer_that_stays_full_ends_in_an_error_and_not_in_a_hang(
    nowhere: ClientSettings, put: Put
) -> None:
    producer = new_producer(nowhere, queue_buffering_max_messages=10)
    sender = RecordSender(producer, "gds.metrics.production", patience_s=0.5)
    # The client counts an event of its own among them, once it has found nobody.
    with pytest.raises(SendStalled, match=r"1[01] records wait"):
        put(sender, records(100))
    assert sender.finish(timeout_s=0.1) == SendReport(10, 0, 0, 10)


@both_ways
def test_a_stop_ends_the_wait_in_front_of_a_full_buffer(nowhere: ClientSettings, put: Put) -> None:
    producer = new_producer(nowhere, queue_buffering_max_messages=10)
    sender = RecordSender(producer, "gds.metrics.production", stop=lambda: True)
    taken = put(sender, records(100))
    assert taken == 10
    assert sender.finish(timeout_s=0.1).undelivered == 10


def refused_at(given: list[OutgoingRecord], *numbers: int) -> list[OutgoingRecord]:
    """With a value at each of the numbers that no topic of at most 20 kB takes."""
    return [
        msgspec.structs.replace(record, value=os.urandom(30_000)) if n in numbers else record
        for n, record in enumerate(given)
    ]


@pytest.mark.kafka
@both_ways
def test_a_refused_record_does_not_take_its_neighbours_with_it(
    settings: ClientSettings, topic_factory: TopicFactory, put: Put
) -> None:
    topic = topic_factory(partitions=1, config={"max.message.bytes": "20000"})
    failures: list[tuple[OutgoingRecord, str]] = []
    sender = RecordSender(new_producer(settings), topic, on_failure=lambda *failed: failures.append(failed))
    given = refused_at(records(200), 20, 100)
    put(sender, given)

    assert sender.finish() == SendReport(200, 198, 2, 0)
    assert [record.value for record, _ in failures] == [given[20].value, given[100].value]
    assert all("MSG_SIZE_TOO_LARGE" in reason for _, reason in failures)
    if put is RecordSender.send:
        assert [record.reference for record, _ in failures] == [20, 100]
    arrived = Counter(record.value() for record in read_all(settings, topic))
    assert arrived == Counter(record.value for n, record in enumerate(given) if n not in {20, 100})


@pytest.mark.kafka
def test_a_refused_timestamp_does_not_take_its_neighbours_with_it(
    settings: ClientSettings, topic_factory: TopicFactory
) -> None:
    topic = topic_factory(partitions=1, config={"message.timestamp.after.max.ms": "60000"})
    next_year = int((time.time() + 365 * 86400) * 1000)
    given = [
        msgspec.structs.replace(record, timestamp_ms=next_year if n == 3 else 0)
        for n, record in enumerate(records(10))
    ]
    sender = RecordSender(new_producer(settings), topic)
    sender.send(given)

    assert sender.finish() == SendReport(10, 9, 1, 0)
    assert len(read_all(settings, topic)) == 9


@pytest.mark.kafka
def test_many_refused_records_are_judged_alone_while_others_are_still_sent(
    settings: ClientSettings, topic_factory: TopicFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gdsconsole.kafka.producing.sender._MAX_WAITING_ALONE", 3)
    topic = topic_factory(partitions=1, config={"max.message.bytes": "20000"})
    sender = RecordSender(new_producer(settings), topic)
    for start in range(0, 300, 10):
        sender.send(refused_at(records(10), start % 7))
    assert sender.finish() == SendReport(300, 270, 30, 0)


@pytest.mark.kafka
@both_ways
def test_a_record_too_large_for_the_client_is_refused_at_once(
    settings: ClientSettings, fresh_topic: str, put: Put
) -> None:
    sender = RecordSender(new_producer(settings, message_max_bytes=2000), fresh_topic)
    given = [*records(200), OutgoingRecord(b"x" * 3000, b"k")]
    put(sender, given)
    assert sender.finish() == SendReport(201, 200, 1, 0)


@pytest.mark.kafka
def test_a_topic_that_does_not_exist_fails_every_record(settings: ClientSettings) -> None:
    # librdkafka waits for a topic that may be on its way; a second will do here.
    producer = new_producer(settings, topic_metadata_propagation_max_ms=1000)
    failures: list[str] = []
    sender = RecordSender(producer, "gds.tests.absent", on_failure=lambda _, reason: failures.append(reason))
    sender.send(records(20))
    assert sender.finish() == SendReport(20, 0, 20, 0)
    assert all("UNKNOWN_TOPIC" in reason for reason in failures)


@pytest.mark.kafka
@pytest.mark.parametrize("profile", ["guide", "console"])
def test_both_profiles_deliver(settings: ClientSettings, fresh_topic: str, profile: Any) -> None:
    sender = RecordSender(new_producer(settings, profile=profile), fresh_topic)
    sender.send_batch([{"value": b"x" * 250, "key": b"%d" % n} for n in range(20_000)])
    assert sender.finish() == SendReport(20_000, 20_000, 0, 0)
    assert len(read_all(settings, fresh_topic)) == 20_000
