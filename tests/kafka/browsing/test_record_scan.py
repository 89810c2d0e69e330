"""Looking through a topic on a real broker: in the order of time, page after page, skipping nothing."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from gdsconsole.devstack.kafka_cluster import KafkaCluster
from gdsconsole.kafka.browsing import record_scan
from gdsconsole.kafka.browsing.record_reader import offsets_at
from gdsconsole.kafka.browsing.record_scan import KEPT_BYTES, Bounds, FoundRecord, Scan, scan
from gdsconsole.kafka.clients import Record
from gdsconsole.kafka.cluster.groups import read_log_ranges
from gdsconsole.kafka.config import ClientSettings
from tests.kafka.deleting import delete_before

pytestmark = pytest.mark.kafka

START_MS = 1_768_473_000_000


@pytest.fixture
def client(kafka: KafkaCluster) -> ClientSettings:
    return ClientSettings(kafka.bootstrap_servers)


@pytest.fixture(scope="module")
def numbered(kafka_session: KafkaCluster, kafka_admin: AdminClient) -> Iterator[str]:
    """600 records, a second apart, unevenly over 3 partitions: a half, a third and a sixth of them."""
    topic = "gds.tests.numbered"
    # The records are old, and would not be kept otherwise.
    made = NewTopic(topic, 4, 3, config={"retention.ms": "-1"})
    kafka_admin.create_topics([made])[topic].result(30)
    producer = Producer({"bootstrap.servers": kafka_session.bootstrap_servers, "enable.idempotence": True})
    for number, partition in zip(range(600), itertools.cycle([0, 0, 0, 1, 1, 2]), strict=False):
        producer.produce(
            topic,
            f"number {number}".encode(),
            f"key-{number % 7}".encode(),
            partition=partition,
            timestamp=START_MS + number * 1000,
            headers=[("trace", f"t{number}".encode())] if number % 100 == 0 else None,
        )
    assert producer.flush(60) == 0
    yield topic
    kafka_admin.delete_topics([topic])[topic].exception(30)


def bounds_of(client: ClientSettings, topic: str, partitions: int = 4) -> dict[int, Bounds]:
    ranges = read_log_ranges(client, {(topic, number) for number in range(partitions)})
    return {number: Bounds(held.log_start or 0, held.stable_end or 0) for (_, number), held in ranges.items()}


def look(
    client: ClientSettings,
    topic: str,
    *,
    positions: Mapping[int, int] | None = None,
    back: bool = False,
    wanted: Callable[[Record], bool] = lambda record: True,
    **changes: Any,
) -> Scan:
    limits: dict[str, Any] = {"rows": 50, "most_records": 20_000, "budget_s": 30.0} | changes
    bounds = limits.pop("bounds", None) or bounds_of(client, topic)
    return scan(
        client,
        topic,
        bounds=bounds,
        positions=positions or {},
        back=back,
        wanted=wanted,
        **limits,
    )


def numbers(found: Any) -> list[int]:
    return [int((one.value or b"").split()[-1]) for one in found]


def test_the_newest_first_whatever_partition_they_are_in(client: ClientSettings, numbered: str) -> None:
    newest = look(client, numbered, back=True)
    assert numbers(newest.found) == list(range(599, 549, -1))
    assert newest.newer is None
    assert newest.older is not None
    # One round: fifty of each partition, or what it has.
    assert newest.scanned == 150
    assert newest.found[0] == FoundRecord(
        2, 99, START_MS + 599_000, b"key-4", b"number 599", value_bytes=10, headers=0
    )


@pytest.mark.parametrize("back", [True, False])
def test_page_after_page_has_each_record_once_in_order(
    client: ClientSettings, numbered: str, back: bool
) -> None:
    bounds = bounds_of(client, numbered)
    positions: Any = {}
    seen: list[int] = []
    for _ in range(13):
        page = look(client, numbered, positions=positions, back=back, bounds=bounds)
        seen += numbers(page.found)
        positions = page.older if back else page.newer
        if positions is None:
            break
    assert seen == sorted(range(600), reverse=back)


@pytest.mark.parametrize("back", [True, False])
def test_and_the_way_there_leads_back(client: ClientSettings, numbered: str, back: bool) -> None:
    first = look(client, numbered, back=back)
    onward = first.older if back else first.newer
    assert onward is not None
    second = look(client, numbered, positions=onward, back=back)
    returning = second.newer if back else second.older
    assert returning is not None
    again = look(client, numbered, positions=returning, back=not back)
    assert sorted(numbers(again.found)) == sorted(numbers(first.found))


def is_hundred(record: Record) -> bool:
    return int((record.value() or b"").split()[-1]) % 100 == 0


@pytest.mark.parametrize("back", [True, False])
def test_a_text_is_found_in_rounds_that_grow(client: ClientSettings, numbered: str, back: bool) -> None:
    found = look(client, numbered, back=back, wanted=is_hundred, rows=50)
    assert numbers(found.found) == sorted(range(0, 600, 100), reverse=back)
    assert found.scanned == 600
    assert found.older is None
    assert found.newer is None
    assert {one.headers for one in found.found} == {1}


@pytest.mark.parametrize("back", [True, False])
def test_what_the_budget_of_records_cut_off_is_found_by_going_on(
    client: ClientSettings, numbered: str, back: bool
) -> None:
    bounds = bounds_of(client, numbered)
    positions: Any = {}
    seen: list[int] = []
    pages = 0
    while positions is not None:
        page = look(
            client,
            numbered,
            positions=positions,
            back=back,
            bounds=bounds,
            wanted=is_hundred,
            most_records=100,
        )
        assert page.scanned <= 100
        seen += numbers(page.found)
        positions = page.older if back else page.newer
        pages += 1
        assert pages < 30
    assert sorted(seen) == list(range(0, 600, 100))
    assert pages > 4


def test_from_an_offset(client: ClientSettings, numbered: str) -> None:
    bounds = {1: bounds_of(client, numbered)[1]}
    page = look(client, numbered, bounds=bounds, positions={1: 20}, rows=3)
    assert [one.offset for one in page.found] == [20, 21, 22]
    assert (page.older, page.newer) == ({1: 20}, {1: 23})


@pytest.mark.parametrize(("place", "offsets"), [(10**12, []), (0, [0, 1])])
def test_a_place_outside_is_its_nearest_end(
    client: ClientSettings, numbered: str, place: int, offsets: list[int]
) -> None:
    bounds = {1: bounds_of(client, numbered)[1]}
    page = look(client, numbered, bounds=bounds, positions={1: place}, rows=2)
    assert [one.offset for one in page.found] == offsets


def test_from_a_time(client: ClientSettings, numbered: str) -> None:
    at = offsets_at(client, numbered, [0, 1, 2, 3], at_ms=START_MS + 300_000, timeout_s=20)
    # A half, a third and a sixth of 300; the last partition has nothing that young.
    assert at == {0: 150, 1: 100, 2: 50, 3: None}
    positions = {number: offset for number, offset in at.items() if offset is not None}
    assert numbers(look(client, numbered, positions=positions, rows=5).found) == [
        300,
        301,
        302,
        303,
        304,
    ]


def test_an_empty_topic(client: ClientSettings, fresh_topic: str) -> None:
    for back in (True, False):
        page = look(client, fresh_topic, back=back, bounds=bounds_of(client, fresh_topic, 3))
        assert (list(page.found), page.scanned, page.older, page.newer) == ([], 0, None, None)


def test_deleted_records_are_no_reason_to_wait(
    client: ClientSettings, topic_factory: Callable[..., str], kafka_admin: AdminClient
) -> None:
    topic = topic_factory(partitions=1)
    producer = Producer({"bootstrap.servers": client.bootstrap_servers})
    for number in range(30):
        producer.produce(topic, f"number {number}".encode())
    assert producer.flush(30) == 0
    delete_before(kafka_admin, topic, 0, 20)
    began = time.monotonic()
    page = look(client, topic, bounds=bounds_of(client, topic, 1), back=True)
    assert numbers(page.found) == list(range(29, 19, -1))
    # Bounds that are older than the deletion: the partition is given up, and told.
    late = look(client, topic, bounds={0: Bounds(0, 30)}, positions={0: 5}, budget_s=20)
    assert late.late == {0}
    assert time.monotonic() - began < 15


def test_large_values_are_kept_as_lines(client: ClientSettings, topic_factory: Callable[..., str]) -> None:
    topic = topic_factory(partitions=1)
    producer = Producer({"bootstrap.servers": client.bootstrap_servers})
    for _ in range(20):
        producer.produce(topic, b"x" * 500_000, b"k" * 2_000)
    producer.produce(topic, None, None)
    assert producer.flush(60) == 0
    page = look(client, topic, bounds=bounds_of(client, topic, 1))
    assert [one.value_bytes for one in page.found] == [500_000] * 20 + [None]
    assert {len(one.value or b"") for one in page.found} == {KEPT_BYTES, 0}
    assert (page.found[-1].key, page.found[-1].value) == (None, None)


@pytest.mark.parametrize("back", [True, False])
def test_without_time_nothing_is_skipped(client: ClientSettings, numbered: str, back: bool) -> None:
    page = look(client, numbered, back=back, budget_s=0)
    assert list(page.found) == []
    assert page.late == {0, 1, 2}
    bounds = bounds_of(client, numbered)
    ends = {number: limit.end if back else limit.start for number, limit in bounds.items()}
    assert (page.older if back else page.newer) == ends


def test_a_great_many_partitions_share_the_first_round(
    client: ClientSettings, numbered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_scan, "FIRST_ROUND", 8)
    page = look(client, numbered, back=True, rows=4)
    assert page.scanned == 6
    assert numbers(page.found) == [599, 598, 597, 596]
