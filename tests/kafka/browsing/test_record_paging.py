"""Page after page through a topic: each record once, whatever its time says, and then an end."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from confluent_kafka import Producer
from hypothesis import given
from hypothesis import strategies as st

from gdsconsole.devstack.kafka_cluster import KafkaCluster
from gdsconsole.kafka.browsing import record_scan
from gdsconsole.kafka.browsing.record_scan import Bounds, Scan, merged, scan
from gdsconsole.kafka.clients import Record
from gdsconsole.kafka.cluster.groups import read_log_ranges
from gdsconsole.kafka.config import ClientSettings
from tests.factories import make_record

START_MS = 1_768_473_000_000
TopicPartition = tuple[int, int]


class StoredRecords:
    """Stands for the reader: the records of a topic by partition and offset, with holes."""

    def __init__(self, times: Mapping[TopicPartition, int]) -> None:
        self._times = times

    def __call__(self, settings: ClientSettings, topic: str) -> StoredRecords:
        return self

    def __enter__(self) -> StoredRecords:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(
        self, stretches: Mapping[int, tuple[int, int]], take: Callable[[Record], bool], *, deadline: float
    ) -> frozenset[int]:
        for (partition, offset), millis in sorted(self._times.items()):
            first, stop = stretches.get(partition, (0, 0))
            if first <= offset < stop:
                take(make_record(partition=partition, offset=offset, timestamp=(1, millis)))
        return frozenset(stretches)


def pages(
    look: Callable[[Any, bool], Scan], back: bool, positions: Any = None, most: int = 500
) -> list[list[TopicPartition]]:
    """Every page from there to the end, by the places that the pages themselves give."""
    found: list[list[TopicPartition]] = []
    while len(found) < most:
        page = look(positions or {}, back)
        found.append([(line.partition, line.offset) for line in page.found])
        positions = page.older if back else page.newer
        if positions is None:
            return found
    raise AssertionError("there is no end")


def assert_each_once(found: list[list[TopicPartition]], stored: set[TopicPartition], back: bool) -> None:
    seen = [place for page in found for place in page]
    assert sorted(seen) == sorted(stored)
    for partition in {partition for partition, _ in stored}:
        offsets = [offset for number, offset in seen if number == partition]
        assert offsets == sorted(offsets, reverse=back)


times = st.integers(0, 20).map(lambda n: START_MS + n * 1000) | st.sampled_from([0, 2**62, START_MS - 10**10])
topics = st.dictionaries(st.tuples(st.integers(0, 3), st.integers(0, 60)), times, max_size=80)


@given(stored=topics, rows=st.integers(1, 12), back=st.booleans())
def test_any_times_and_holes_are_paged_through_once(
    stored: dict[TopicPartition, int], rows: int, back: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record_scan, "RecordReader", StoredRecords(stored))
        bounds = {number: Bounds(0, 64) for number in range(4)}

        def look(positions: Any, back: bool) -> Scan:
            return scan(
                ClientSettings("nowhere:1"),
                "t",
                bounds=bounds,
                positions=positions,
                back=back,
                wanted=lambda record: True,
                rows=rows,
                most_records=1_000,
                budget_s=60,
            )

        there = pages(look, back)
        assert_each_once(there, set(stored), back)
        first = look({}, back)
        onward = first.older if back else first.newer
        if onward is not None:
            # From the second page the way back leads to the first, and to its end.
            second = look(onward, back)
            returning = pages(look, not back, second.newer if back else second.older)
            assert sorted(place for page in returning for place in page) == sorted(there[0])


def test_a_record_whose_clock_was_wrong_stands_among_its_neighbours() -> None:
    found = [
        record_scan._line(make_record(partition=partition, offset=offset, timestamp=(1, millis)))
        for partition, offset, millis in [
            (0, 0, 10),
            (0, 1, 30),
            (0, 2, 0),
            (1, 0, 20),
            (1, 1, 2**62),
            (1, 2, 40),
        ]
    ]
    ordered = [(line.partition, line.offset) for line in merged(found, back=False)]
    assert ordered == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    assert [(line.partition, line.offset) for line in merged(found, back=True)] == [
        (1, 2),
        (1, 1),
        (1, 0),
        (0, 2),
        (0, 1),
        (0, 0),
    ]


@pytest.mark.kafka
def test_721_records_one_old_last_and_transactions_among_them(
    kafka: KafkaCluster, topic_factory: Callable[..., str]
) -> None:
    """40 pages of "Older" once gave 582 of them and 1,418 repeats."""
    topic = topic_factory(partitions=12, config={"retention.ms": "-1"})
    settings = ClientSettings(kafka.bootstrap_servers)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": topic})
    producer.init_transactions(30)
    chance = random.Random(5)

    def send(count: int, first: int, *, commit: bool) -> None:
        producer.begin_transaction()
        for number in range(first, first + count):
            at = START_MS + number * 1000 + chance.randrange(-30_000, 30_000)
            producer.produce(topic, b"%d" % number, partition=number % 12, timestamp=at)
        # An abort drops what is not sent yet, and one that meets the markers of the transaction before, still
        # being written, is refused: librdkafka had no answer yet to whether this one has begun.
        assert producer.flush(30) == 0
        (producer.commit_transaction if commit else producer.abort_transaction)(30)

    for at in range(0, 720, 60):
        send(60, at, commit=True)
        send(5, at, commit=False)
    producer.begin_transaction()
    producer.produce(topic, b"old", partition=7, timestamp=1000)
    producer.commit_transaction(30)

    def bounds() -> dict[int, Bounds]:
        ranges = read_log_ranges(settings, {(topic, number) for number in range(12)})
        return {
            number: Bounds(held.log_start or 0, held.stable_end or 0) for (_, number), held in ranges.items()
        }

    def look(positions: Any, back: bool) -> Scan:
        return scan(
            settings,
            topic,
            bounds=bounds(),
            positions=positions,
            back=back,
            wanted=lambda record: True,
            rows=50,
            most_records=50_000,
            budget_s=30,
        )

    back = pages(look, True, most=30)
    stored = {place for page in back for place in page}
    assert len(stored) == 721
    assert_each_once(back, stored, True)
    assert len(back) <= 16
    assert_each_once(pages(look, False, most=30), stored, False)
    # What comes meanwhile is on no older page, and on the newest ones when one has come back to them.
    first = look({}, True)
    send(24, 720, commit=True)
    older = pages(look, True, first.older, most=30)
    newest = {(line.partition, line.offset) for line in first.found}
    assert {place for page in older for place in page} == stored - newest
    newer = [place for page in pages(look, False, look(first.older, True).newer, most=30) for place in page]
    assert len(newer) == len(set(newer)) == len(newest) + 24
