"""What the pipeline runtime relies on of a consumer, true of the fake and of a real one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, TopicPartition

from gdsconsole.kafka.clients import ClientHooks
from gdsconsole.kafka.headers import headers_of
from tests.contracts.worlds import PARTITIONS, World

NO_OFFSET = -1001


class Reader:
    """Uses a source as the runtime does, and notes what comes."""

    def __init__(self, world: World, *, start: int = 0) -> None:
        self.topic = world.topic
        self.start = start
        self.records: list[Any] = []
        self.ends: list[tuple[int, int]] = []
        self.errors: list[tuple[int, int, int]] = []
        self.assigned: list[int] = []
        self.revoked: list[int] = []
        self.commits: list[tuple[KafkaError | None, list[tuple[int, int]]]] = []
        self.source = world.source(ClientHooks(on_error=lambda error: None, on_commit=self._on_commit))
        self.source.subscribe(
            [world.topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
        )

    def _on_assign(self, _: Any, partitions: list[TopicPartition]) -> None:
        self.source.incremental_assign(
            [TopicPartition(part.topic, part.partition, self.start) for part in partitions]
        )
        self.assigned += sorted(part.partition for part in partitions)

    def _on_revoke(self, _: Any, partitions: list[TopicPartition]) -> None:
        self.revoked += sorted(part.partition for part in partitions)
        self.source.incremental_unassign(partitions)

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        self.commits.append((error, sorted((part.partition, part.offset) for part in partitions)))

    def once(self, most: int = 100, timeout_s: float = 0.2) -> list[Any]:
        found = self.source.consume(most, timeout_s)
        assert len(found) <= most
        for record in found:
            error = record.error()
            if error is None:
                self.records.append(record)
            elif error.code() == KafkaError._PARTITION_EOF:
                self.ends.append((record.partition(), record.offset()))
            else:
                self.errors.append((error.code(), record.partition(), record.offset()))
        return found

    def until(self, condition: Callable[[], bool], *, most: int = 100) -> None:
        deadline = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < deadline, vars(self)
            self.once(most)

    def at(self, partition: int = 0, offset: int = 0) -> TopicPartition:
        return TopicPartition(self.topic, partition, offset)

    def offsets(self, partition: int = 0) -> list[int]:
        return [record.offset() for record in self.records if record.partition() == partition]


def has_both_ends(reader: Reader) -> Callable[[], bool]:
    return lambda: {partition for partition, _ in reader.ends} == {0, 1}


def test_partitions_are_assigned_inside_consume_and_before_any_record(world: World) -> None:
    world.append(b"a")
    reader = Reader(world)
    assert (reader.assigned, reader.source.assignment()) == ([], [])
    reader.until(lambda: bool(reader.records))
    assert reader.assigned == list(range(PARTITIONS))
    assert {part.partition for part in reader.source.assignment()} == set(range(PARTITIONS))


def test_a_record_comes_with_all_that_was_written(world: World) -> None:
    headers = [("trace", b"\xff"), ("trace", None), ("", b"")]
    world.append(b"v", 1, key=b"\xfe", headers=headers)
    world.append(None, 1)
    reader = Reader(world)
    reader.until(lambda: len(reader.records) == 2)
    [record, tombstone] = reader.records
    assert (record.topic(), record.partition(), record.offset()) == (world.topic, 1, 0)
    assert (record.key(), record.value(), headers_of(record)) == (b"\xfe", b"v", headers)
    assert (tombstone.key(), tombstone.value(), headers_of(tombstone)) == (None, None, [])
    assert record.timestamp()[1] > 0
    assert record.error() is None


def test_records_of_a_partition_come_in_order_and_once_however_they_are_asked_for(world: World) -> None:
    for n in range(10):
        world.append(b"%d" % n, n % 2)
    reader = Reader(world)
    reader.until(lambda: len(reader.records) == 10, most=3)
    assert reader.offsets(0) == reader.offsets(1) == [0, 1, 2, 3, 4]


def test_a_partition_starts_where_it_was_assigned(world: World) -> None:
    for n in range(4):
        world.append(b"%d" % n)
    reader = Reader(world, start=3)
    reader.until(lambda: bool(reader.records))
    assert reader.offsets() == [3]


def test_the_end_of_a_partition_is_told_once_and_again_after_more(world: World) -> None:
    world.append(b"a")
    reader = Reader(world)
    reader.until(has_both_ends(reader))
    assert sorted(reader.ends) == [(0, 1), (1, 0)]
    reader.once()
    assert len(reader.ends) == 2
    world.append(b"b")
    reader.until(lambda: len(reader.ends) == 3)
    assert reader.ends[-1] == (0, 2)
    assert reader.offsets() == [0, 1]


def test_the_position_at_the_end_lies_beyond_a_transactions_marker(world: World) -> None:
    world.append(b"a")
    world.append_marker()
    reader = Reader(world)
    reader.until(has_both_ends(reader))
    assert reader.offsets() == [0]
    low, end = reader.source.get_watermark_offsets(reader.at(), timeout=10, cached=False)
    assert (low, end > 1) == (0, True)
    assert dict(reader.ends)[0] == end
    assert reader.source.position([reader.at()])[0].offset == end


def test_a_paused_partition_gives_nothing_and_goes_on_where_it_was(world: World) -> None:
    for n in range(3):
        world.append(b"%d" % n)
    reader = Reader(world)
    reader.until(has_both_ends(reader))
    reader.source.pause([reader.at()])
    world.append(b"3")
    world.append(b"other", 1)
    reader.until(lambda: reader.offsets(1) == [0])
    for _ in range(3):
        reader.once()
    assert reader.offsets() == [0, 1, 2]
    reader.source.resume([reader.at()])
    reader.until(lambda: len(reader.offsets()) == 4)
    assert reader.offsets() == [0, 1, 2, 3]


def test_records_fetched_before_a_pause_come_after_it_and_none_is_lost(world: World) -> None:
    for n in range(20):
        world.append(b"%d" % n)
    reader = Reader(world)
    reader.until(lambda: len(reader.offsets()) == 2, most=1)
    reader.source.pause([reader.at()])
    for _ in range(3):
        reader.once()
    reader.source.resume([reader.at()])
    reader.until(lambda: len(set(reader.offsets())) == 20)
    assert reader.offsets() == list(range(20))


@pytest.mark.parametrize("paused", [False, True])
def test_a_seek_reads_again_from_there(world: World, paused: bool) -> None:
    for n in range(5):
        world.append(b"%d" % n)
    reader = Reader(world)
    reader.until(has_both_ends(reader))
    if paused:
        reader.source.pause([reader.at()])
    reader.source.seek(reader.at(offset=2))
    if paused:
        for _ in range(3):
            reader.once()
        assert reader.offsets() == [0, 1, 2, 3, 4]
        reader.source.resume([reader.at()])
    reader.until(lambda: len(reader.offsets()) == 8)
    assert reader.offsets() == [0, 1, 2, 3, 4, 2, 3, 4]
    reader.until(lambda: len(reader.ends) == 3)


def test_a_commit_is_what_the_next_owner_reads(world: World) -> None:
    world.append(b"a")
    reader = Reader(world)
    reader.until(lambda: bool(reader.records))
    before = reader.source.committed([reader.at(0), reader.at(1)], timeout=10)
    assert [part.offset for part in before] == [NO_OFFSET, NO_OFFSET]
    committed = reader.source.commit(offsets=[reader.at(0, 1)], asynchronous=False)
    assert [(part.partition, part.offset, part.error) for part in committed] == [(0, 1, None)]
    after = reader.source.committed([reader.at(0), reader.at(1)], timeout=10)
    assert [part.offset for part in after] == [1, NO_OFFSET]


def test_an_asynchronous_commit_answers_inside_consume(world: World) -> None:
    reader = Reader(world)
    reader.until(has_both_ends(reader))
    assert reader.source.commit(offsets=[reader.at(0, 0), reader.at(1, 0)], asynchronous=True) is None
    assert reader.commits == []
    reader.until(lambda: bool(reader.commits))
    assert reader.commits == [(None, [(0, 0), (1, 0)])]


def test_an_offset_that_is_gone_is_an_error_with_its_place_and_nothing_is_skipped(world: World) -> None:
    for n in range(5):
        world.append(b"%d" % n)
    world.delete_before(3)
    world.append(b"other", 1)
    reader = Reader(world)
    reader.until(lambda: bool(reader.errors) and reader.offsets(1) == [0])
    assert reader.errors == [(KafkaError._AUTO_OFFSET_RESET, 0, 0)]
    for _ in range(3):
        reader.once()
    assert reader.offsets() == []
    low, end = reader.source.get_watermark_offsets(reader.at(), timeout=10, cached=False)
    assert (low, end) == (3, 5)
    # How the runtime goes on: assigned anew.
    reader.source.incremental_unassign([reader.at()])
    reader.source.incremental_assign([reader.at(offset=3)])
    reader.until(lambda: reader.offsets() == [3, 4])


def test_an_unassigned_partition_gives_nothing_more(world: World) -> None:
    world.append(b"a")
    reader = Reader(world)
    reader.until(has_both_ends(reader))
    reader.source.incremental_unassign([reader.at()])
    assert [part.partition for part in reader.source.assignment()] == [1]
    world.append(b"b")
    world.append(b"other", 1)
    reader.until(lambda: reader.offsets(1) == [0])
    reader.once()
    assert reader.offsets() == [0]


def test_unsubscribing_takes_the_partitions_back_inside_consume(world: World) -> None:
    reader = Reader(world)
    reader.until(lambda: bool(reader.assigned))
    reader.source.unsubscribe()
    assert reader.revoked == []
    reader.until(lambda: bool(reader.revoked))
    assert reader.revoked == list(range(PARTITIONS))


def test_closing_takes_the_partitions_back_before_it_returns(world: World) -> None:
    reader = Reader(world)
    reader.until(lambda: bool(reader.assigned))
    reader.source.close()
    assert reader.revoked == list(range(PARTITIONS))
