"""Records of a topic for a page, within a bound of time and of records looked through."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from gdsconsole.kafka.browsing.record_reader import offsets_at
from gdsconsole.kafka.browsing.record_scan import Bounds, Positions, Scan, scan
from gdsconsole.kafka.browsing.record_window import read_window
from gdsconsole.kafka.clients import Record
from gdsconsole.kafka.cluster.groups import read_log_ranges
from gdsconsole.kafka.errors import UnknownTopic
from gdsconsole.kafka.headers import headers_of
from gdsconsole.pipelines.connection import kafka_settings
from gdsconsole.text.formats import exact_number, short_number
from topics.definitions.cluster_cache import cluster_now

ROWS = 50
MOST_SCANNED = 50_000
BUDGET_S = 2.0
TIMEOUT_S = 3.0
# How many may look at once in this process: each has a consumer and its queue in memory.
_AT_ONCE = 4
_WAIT_S = 2.0
_looking = threading.BoundedSemaphore(_AT_ONCE)


class TooMany(Exception):
    """As many as may are looking through topics already."""


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """`before` and `after` are where another page ended; else the place is an offset, a time, or the end."""

    topic: str
    partition: int | None = None
    offset: int | None = None
    since: datetime | None = None
    text: str = ""
    before: Positions = field(default_factory=dict)
    after: Positions = field(default_factory=dict)

    @property
    def goes_back(self) -> bool:
        return not self.after and (bool(self.before) or (self.offset is None and self.since is None))


@dataclass(frozen=True, slots=True)
class SearchResult:
    """`unread` are partitions that nothing is known of, with the reason; `note` is about the place."""

    scan: Scan
    bounds: Mapping[int, Bounds]
    partitions: int
    unread: Mapping[int, str]
    note: str = ""

    @property
    def total(self) -> int:
        return sum(limit.end - limit.start for limit in self.bounds.values())


def look(wanted: SearchQuery) -> SearchResult:
    """Raises `KafkaUnavailable`, `UnknownTopic` (a partition that isn't there included) or `TooMany`."""
    if not _looking.acquire(timeout=_WAIT_S):
        raise TooMany(f"{_AT_ONCE} others are looking through topics")
    try:
        return _look(wanted)
    finally:
        _looking.release()


def _look(wanted: SearchQuery) -> SearchResult:
    settings = kafka_settings()
    reading = cluster_now()
    if reading.failure is not None:
        raise reading.failure
    topic = reading.live.topics.get(wanted.topic) if reading.live is not None else None
    numbers = [part.partition for part in topic.partitions] if topic is not None else []
    chosen = [number for number in numbers if wanted.partition in (None, number)]
    if not chosen:
        raise UnknownTopic(wanted.topic, settings.bootstrap_servers)
    ranges = read_log_ranges(settings, {(wanted.topic, number) for number in chosen}, timeout_s=TIMEOUT_S)
    bounds: dict[int, Bounds] = {}
    unread: dict[int, str] = {}
    for number in chosen:
        held = ranges.get((wanted.topic, number))
        if held is None or held.log_start is None or held.stable_end is None:
            unread[number] = (held.error if held is not None else None) or "its leader gave no answer"
        else:
            bounds[number] = Bounds(held.log_start, held.stable_end)
    found = scan(
        settings,
        wanted.topic,
        bounds=bounds,
        positions=_positions(wanted, bounds),
        back=wanted.goes_back,
        wanted=contains(wanted.text),
        rows=ROWS,
        most_records=MOST_SCANNED,
        budget_s=BUDGET_S,
    )
    found = replace(
        found,
        older=_with_unread(found.older, wanted.before, unread),
        newer=_with_unread(found.newer, wanted.after, unread),
    )
    return SearchResult(found, bounds, len(numbers), unread, _note(wanted, bounds))


def _with_unread(onward: Positions | None, came_from: Positions, unread: Collection[int]) -> Positions | None:
    """Where to go on, with the partitions that gave no answer still where they were: without their place
    the next page would begin them anew."""
    if onward is None:
        return None
    return {**{number: offset for number, offset in came_from.items() if number in unread}, **onward}


def contains(text: str) -> Callable[[Record], bool]:
    """Whether the text is in a record's key, value or headers; ASCII letters of either case."""
    needle = text.encode().lower()
    if not needle:
        return lambda record: True

    def is_in(record: Record) -> bool:
        if needle in (record.value() or b"").lower() or needle in (record.key() or b"").lower():
            return True
        pairs = headers_of(record)
        return any(
            needle in name.encode().lower() or needle in (value or b"").lower() for name, value in pairs
        )

    return is_in


def _positions(wanted: SearchQuery, bounds: Mapping[int, Bounds]) -> Positions:
    if wanted.after or wanted.before:
        return wanted.after or wanted.before
    if wanted.offset is not None and wanted.partition is not None:
        return {wanted.partition: wanted.offset}
    if wanted.since is None:
        return {}
    at_ms = max(0, int(wanted.since.timestamp() * 1000))
    at = offsets_at(kafka_settings(), wanted.topic, list(bounds), at_ms=at_ms, timeout_s=TIMEOUT_S)
    # Where nothing is that young, the end; a partition without an answer is looked through from its start.
    return {number: bounds[number].end if offset is None else offset for number, offset in at.items()}


def _note(wanted: SearchQuery, bounds: Mapping[int, Bounds]) -> str:
    """What is to be said of an offset that isn't there."""
    limit = bounds.get(wanted.partition) if wanted.partition is not None else None
    if limit is None or wanted.offset is None or wanted.after or wanted.before:
        return ""
    if wanted.offset >= limit.end:
        return (
            f"Offset {exact_number(wanted.offset)} is not written yet: the next is {exact_number(limit.end)}."
        )
    if wanted.offset < limit.start:
        return f"Offset {exact_number(wanted.offset)} is gone: the oldest is {exact_number(limit.start)}."
    return ""


def headline(wanted: SearchQuery, looked: SearchResult) -> str:
    """What is shown, in one line."""
    shown = len(looked.scan.found)
    where = "the topic" if wanted.partition is None else f"partition {wanted.partition}"
    if not looked.total and not looked.unread:
        return f"There is no record in {where}."
    held = f"about {short_number(looked.total)} in {where}"
    if wanted.text:
        return f"{_records(shown)} with this text among {exact_number(looked.scan.scanned)} of {held}."
    if wanted.goes_back and not wanted.before:
        return f"The newest {exact_number(shown)} of {held}."
    return f"{_records(shown)} of {held}."


def _records(count: int) -> str:
    if not count:
        return "No record"
    return "1 record" if count == 1 else f"{exact_number(count)} records"


@dataclass(frozen=True, slots=True)
class OneRecord:
    """One record, whole. `previous` and `next` are its neighbours' offsets, where there may be some."""

    record: Record
    headers: list[tuple[str, bytes | None]]
    previous: int | None
    next: int | None


def read_one(topic: str, partition: int, offset: int) -> OneRecord | None:
    """The record at the offset; None where none is there (any more, yet, or but a marker).

    Raises `KafkaUnavailable` or `UnknownTopic`.
    """
    window = read_window(kafka_settings(), topic, partition, first=offset, last=offset, budget_s=BUDGET_S)
    record = next(iter(window.records), None)
    if record is None:
        return None
    return OneRecord(
        record=record,
        headers=headers_of(record),
        previous=offset - 1 if offset > window.log_start else None,
        next=offset + 1 if offset + 1 < window.end else None,
    )
