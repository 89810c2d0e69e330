"""A stretch of one partition, read from a real broker by a consumer that leaves no trace."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from gdsconsole.devstack.kafka_cluster import KafkaCluster
from gdsconsole.kafka.browsing import record_reader, record_window
from gdsconsole.kafka.browsing.record_window import RecordWindow, read_window
from gdsconsole.kafka.cluster.groups import read_log_ranges
from gdsconsole.kafka.config import ClientSettings
from gdsconsole.kafka.errors import KafkaUnavailable, UnknownTopic
from tests.kafka.deleting import delete_before
from tests.waiting import wait_until

pytestmark = pytest.mark.kafka


@pytest.fixture
def client(kafka: KafkaCluster) -> ClientSettings:
    return ClientSettings(kafka.bootstrap_servers)


@pytest.fixture
def numbered(client: ClientSettings, topic_factory: Callable[..., str]) -> str:
    """A topic with records 0 to 99 in partition 1, each its own offset as text."""
    topic = topic_factory(partitions=2)
    fill(client, topic, [str(number).encode() for number in range(100)])
    return topic


def fill(client: ClientSettings, topic: str, values: list[bytes], **config: Any) -> None:
    producer = Producer({"bootstrap.servers": client.bootstrap_servers, **config})
    for value in values:
        producer.produce(topic, value, partition=1)
    assert producer.flush(30) == 0


def offsets(window: RecordWindow) -> list[int | None]:
    return [record.offset() for record in window.records]


@pytest.mark.parametrize(
    ("first", "last", "found"),
    [
        (40, 44, range(40, 45)),
        (98, 500, range(98, 100)),
        (0, 0, range(1)),
        (100, 200, range(0)),
        (7, 3, range(0)),
    ],
)
def test_just_what_was_asked_for(
    client: ClientSettings, numbered: str, first: int, last: int, found: range
) -> None:
    window = read_window(client, numbered, 1, first=first, last=last, budget_s=20)
    assert offsets(window) == list(found)
    assert [record.value() for record in window.records] == [str(one).encode() for one in found]
    assert window.is_whole
    assert window.log_start == 0


def test_what_retention_took_is_told_by_the_log_start(
    client: ClientSettings, numbered: str, kafka_admin: AdminClient
) -> None:
    delete_before(kafka_admin, numbered, 1, 60)
    window = read_window(client, numbered, 1, first=50, last=62, budget_s=20)
    assert offsets(window) == [60, 61, 62]
    assert window.log_start == 60


def test_the_end_of_a_transaction_is_no_record_and_its_marker_no_reason_to_wait(
    client: ClientSettings, numbered: str
) -> None:
    producer = Producer(
        {"bootstrap.servers": client.bootstrap_servers, "transactional.id": f"{numbered}-writer"}
    )
    producer.init_transactions(30)
    for settle, value in ((producer.abort_transaction, b"aborted"), (producer.commit_transaction, b"kept")):
        producer.begin_transaction()
        producer.produce(numbered, value, partition=1)
        producer.flush(30)
        settle(30)
    # 100 aborted, 101 its marker, 102 kept, 103 its marker, which comes a moment after the commit.
    wait_until(
        lambda: read_log_ranges(client, [(numbered, 1)])[numbered, 1].stable_end == 104, 20, "it is over"
    )
    started = time.monotonic()
    window = read_window(client, numbered, 1, first=99, last=500, budget_s=30)
    assert [record.value() for record in window.records] == [b"99", b"kept"]
    assert window.is_whole
    assert time.monotonic() - started < 15


def test_a_window_of_large_records_ends_before_memory_does(
    client: ClientSettings, topic_factory: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_window, "MOST_BYTES", 1_000_000)
    topic = topic_factory(partitions=2)
    fill(client, topic, [b"x" * 300_000] * 20)
    window = read_window(client, topic, 1, first=0, last=19, budget_s=60)
    assert not window.is_whole
    assert offsets(window) == [0, 1, 2, 3]


def test_without_time_it_is_cut_short(client: ClientSettings, numbered: str) -> None:
    window = read_window(client, numbered, 1, first=0, last=99, budget_s=0)
    assert (list(window.records), window.is_whole) == ([], False)


def test_nothing_is_committed_and_no_group_is_left(
    client: ClientSettings, numbered: str, kafka_admin: AdminClient
) -> None:
    read_window(client, numbered, 1, first=0, last=99, budget_s=20)
    groups = kafka_admin.list_consumer_groups(request_timeout=20).result(30)
    assert record_reader.GROUP_ID not in {group.group_id for group in groups.valid}


@pytest.mark.parametrize(("topic", "partition"), [("gds.tests.nowhere", 0), (None, 7)])
def test_what_is_not_there_is_named(
    client: ClientSettings, numbered: str, topic: str | None, partition: int
) -> None:
    with pytest.raises(UnknownTopic, match=topic or numbered):
        read_window(client, topic or numbered, partition, first=0, last=9, budget_s=5)


def test_no_broker_is_one_line_within_its_time() -> None:
    started = time.monotonic()
    with pytest.raises(KafkaUnavailable, match=r"127\.0\.0\.1:1"):
        read_window(ClientSettings("127.0.0.1:1"), "gds.metrics.production", 0, first=0, last=9, budget_s=5)
    assert time.monotonic() - started < 8
