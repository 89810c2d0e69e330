"""Looking through a topic for records: from a place on, or from a place back, some at a time.

A scan goes in rounds. In each, every partition gives as many records as every other, so that what is
shown is in the order of time whatever partition it came from; the rounds grow until there is enough, or
until `most_records` or `budget_s` is used up. Where a scan ended is told for each partition, so that the
next one goes on there: nothing is skipped and nothing shown twice.

Within a partition the order is that of the offsets, whatever the times say. A place is an offset: what was
shown of a partition must be all that lies before it, or a record with a time of its own comes again on
every page, or never.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gdsconsole.kafka.browsing.record_reader import RecordReader
from gdsconsole.kafka.clients import Record
from gdsconsole.kafka.config import ClientSettings
from gdsconsole.kafka.headers import headers_of
from gdsconsole.kafka.timestamps import stamp_ms

# What is kept of a key and of a value, to be shown in a line.
KEPT_BYTES = 1_200
# The most records of all partitions together that a first round takes.
FIRST_ROUND = 2_000

Positions = Mapping[int, int]  # an offset by partition


class Bounds(NamedTuple):
    """What a partition holds: offsets from `start`, and `end` is the first that isn't there yet."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class FoundRecord:
    """A record as a line: `key` and `value` are cut at `KEPT_BYTES`, the sizes are the whole ones'.

    `written_ms` is the record's timestamp in epoch milliseconds, or whatever its writer took for them; None
    where it has none.
    """

    partition: int
    offset: int
    written_ms: int | None
    key: bytes | None
    value: bytes | None
    value_bytes: int | None
    headers: int


@dataclass(frozen=True, slots=True)
class Scan:
    """`found` is in the direction that was looked in: oldest first going on, newest first going back;
    of one partition always in the order of its offsets.

    `older` and `newer` are where to go back from and on from, for what comes before and behind; None
    where nothing does. `late` are partitions that took too long: what they hold next wasn't seen.
    """

    found: Sequence[FoundRecord]
    scanned: int
    took_s: float
    older: Positions | None
    newer: Positions | None
    late: frozenset[int] = frozenset()


def scan(
    settings: ClientSettings,
    topic: str,
    *,
    bounds: Mapping[int, Bounds],
    positions: Positions,
    back: bool,
    wanted: Callable[[Record], bool],
    rows: int,
    most_records: int,
    budget_s: float,
) -> Scan:
    """Look for `rows` records that are `wanted`, from `places` on, or back from the records before them.

    Raises `KafkaUnavailable` when no broker answers, `UnknownTopic` where there is no such topic.
    """
    began = time.monotonic()
    first = {
        number: min(max(positions.get(number, limit.end if back else limit.start), limit.start), limit.end)
        for number, limit in bounds.items()
    }
    reached = dict(first)
    found: list[FoundRecord] = []
    scanned = 0
    late: frozenset[int] = frozenset()
    least = each = max(1, min(rows, min(FIRST_ROUND, most_records) // max(1, len(bounds))))
    with RecordReader(settings, topic) as reader:
        while len(found) < rows and not late:
            left = (most_records - scanned) // max(1, len(bounds))
            stretches = _next_stretches(bounds, reached, min(each, left), back)
            if not stretches or (scanned and left < least):
                break
            lines, read, whole = _round(reader, stretches, wanted, deadline=began + budget_s)
            scanned += read
            late = frozenset(stretches) - whole
            found += [line for line in lines if line.partition in whole]
            for number in whole:
                reached[number] = stretches[number][0 if back else 1]
            each *= 2
    found = merged(found, back)
    reached = _drawn_in(reached, found[rows:], back)
    begin, end = (reached, first) if back else (first, reached)
    return Scan(
        found=found[:rows],
        scanned=scanned,
        took_s=time.monotonic() - began,
        older=begin if any(begin[number] > limit.start for number, limit in bounds.items()) else None,
        newer=end if any(end[number] < limit.end for number, limit in bounds.items()) else None,
        late=late,
    )


def merged(lines: Sequence[FoundRecord], back: bool) -> list[FoundRecord]:
    """Each partition's lines in the order of their offsets, and of all partitions the one with the oldest
    time next, or the newest going back."""
    partitions: dict[int, list[FoundRecord]] = {}
    for line in sorted(lines, key=lambda line: line.offset, reverse=back):
        partitions.setdefault(line.partition, []).append(line)
    streams = [list(zip(_turns(stream, back), stream, strict=True)) for stream in partitions.values()]
    # Only heads are compared, so a stream that isn't in the order of time keeps its own.
    ordered = heapq.merge(*streams, key=lambda pair: (pair[0], pair[1].partition), reverse=back)
    return [line for _, line in ordered]


def _turns(stream: Sequence[FoundRecord], back: bool) -> list[int]:
    """The time by which each line takes its turn: its own, or the middle one of three neighbours where
    the order is broken. So a single record whose clock was wrong stands among those around it, and holds
    up nothing behind it."""
    times = [line.written_ms or 0 for line in stream]
    turns = list(times)
    last = len(times) - 1
    for at in range(len(times) if last >= 2 else 0):
        begin = min(max(at - 1, 0), last - 2)
        around = times[begin : begin + 3]
        if around != sorted(around, reverse=back):
            turns[at] = sorted(around)[1]
    return turns


def _next_stretches(
    bounds: Mapping[int, Bounds], reached: Positions, each: int, back: bool
) -> dict[int, tuple[int, int]]:
    """The next `each` offsets of every partition that has more."""
    stretches = {
        number: (max(limit.start, reached[number] - each), reached[number])
        if back
        else (reached[number], min(limit.end, reached[number] + each))
        for number, limit in bounds.items()
    }
    return {number: stretch for number, stretch in stretches.items() if stretch[0] < stretch[1]}


def _round(
    reader: RecordReader,
    stretches: Mapping[int, tuple[int, int]],
    wanted: Callable[[Record], bool],
    *,
    deadline: float,
) -> tuple[list[FoundRecord], int, frozenset[int]]:
    """The lines found in the stretches, how many records were looked at, and the partitions done."""
    lines: list[FoundRecord] = []
    read = 0

    def take(record: Record) -> bool:
        nonlocal read
        read += 1
        if wanted(record):
            lines.append(_line(record))
        return time.monotonic() < deadline

    whole = reader.read(stretches, take, deadline=deadline)
    return lines, read, whole


def _line(record: Record) -> FoundRecord:
    key, value = record.key(), record.value()
    return FoundRecord(
        partition=int(record.partition() or 0),
        offset=int(record.offset() or 0),
        written_ms=stamp_ms(record),
        key=key[:KEPT_BYTES] if key is not None else None,
        value=value[:KEPT_BYTES] if value is not None else None,
        value_bytes=len(value) if value is not None else None,
        headers=len(headers_of(record)),
    )


def _drawn_in(reached: Positions, left_out: Sequence[FoundRecord], back: bool) -> dict[int, int]:
    """Where to go on so that what was found and isn't shown comes next."""
    positions = dict(reached)
    for line in left_out:
        if back:
            positions[line.partition] = max(positions[line.partition], line.offset + 1)
        else:
            positions[line.partition] = min(positions[line.partition], line.offset)
    return positions
