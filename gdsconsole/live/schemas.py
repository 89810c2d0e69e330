"""What the data of each event type looks like: what a reader may count on, whoever wrote it.

Redis holds what some process wrote, perhaps one of another version, or somebody with redis-cli. A field
that is declared here has its type where it is there, and the ones without a default are; any other is
passed on as it is. What does not fit is unreadable, which is unknown. It is told once, not once a request.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

logger = logging.getLogger(__name__)

# The largest event tells of a group with all its topics; what is larger is none of ours.
MOST_BYTES = 256 * 1024
# The year 2100: no clock is so wrong, and what is later is not shown as a time.
_LATEST_S = 4_102_444_800
# Clocks of several machines may differ by minutes.
_AHEAD_S = 3_600

Moment = Annotated[float, msgspec.Meta(ge=0, le=_LATEST_S)]  # epoch seconds
Count = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
PartitionName = Annotated[str, msgspec.Meta(pattern=r"^[^\n]+-[0-9]{1,9}$")]  # a partition: `topic-0`


class _Shape(msgspec.Struct):
    """Some event's data."""


class _Anything(_Shape):
    """An event that pages only hear of: what it says they read elsewhere."""


class _PipelineStats(_Shape):
    group: str | None = None
    state: str | None = None
    reason: str | None = None
    partitions: list[PartitionName] = []
    waiting: dict[PartitionName, str | None] = {}
    rate_in: float | None = None
    rate_out: float | None = None
    batch_ms: float | None = None
    last_commit_at: Moment | None = None
    processed: float | None = None
    dead_letters: float | None = None
    retries: float | None = None
    rebalances: float | None = None
    lost: float | None = None
    commit_failures: float | None = None


class _NewestMetric(_Shape):
    instance_id: str
    metric_name: str
    database_type: str
    value: float | None = None
    environment: str | None = None


class _GroupLag(_Shape):
    group: str | None = None
    state: str | None = None
    status: str | None = None
    reason: str | None = None
    members: Count | None = None
    total_lag: Count | None = None
    unknown_partitions: Count | None = None
    lost: Count | None = None
    age_s: float | None = None
    consumed_per_s: float | None = None
    produced_per_s: float | None = None
    eta_s: float | None = None
    topics: dict[str, Count | None] | None = None


class _TopicRates(_Shape):
    topic: str | None = None
    topic_id: str | None = None
    rate_in: float | None = None
    end_total: Count | None = None
    sampled_at: Moment | None = None


class _Brokers(_Shape):
    """Counts, or lists of what is counted."""

    brokers: Count | list[Any] | None = None
    expected: Count | list[Any] | None = None
    partitions: Count | list[Any] | None = None
    under_replicated: Count | list[Any] | None = None
    under_min_isr: Count | list[Any] | None = None
    leaderless: Count | list[Any] | None = None
    error: str | None = None


class _Named(msgspec.Struct):
    count: Count
    names: list[str]


class _ComparedTopics(_Shape):
    missing: _Named
    drift: _Named
    failing: _Named
    absent: list[str]
    declared: Count | None = None


class _VerifiedLog(_Shape):
    state: Literal["intact", "tampered", "unknown"]
    entries: Count
    problems: list[str]
    unknown: list[str]
    took_s: Annotated[float, msgspec.Meta(ge=0, le=3_600)]


_SHAPES: Mapping[str, type[_Shape]] = {
    "pipeline.stats": _PipelineStats,
    "metric.newest": _NewestMetric,
    "lag.sampled": _GroupLag,
    "topic.rates": _TopicRates,
    "topics.compared": _ComparedTopics,
    "brokers.sampled": _Brokers,
    "audit.verified": _VerifiedLog,
}


class Unreadable(ValueError):
    """A value that no process of this console's could have meant."""


class _Kept(msgspec.Struct):
    at: Moment
    data: dict[str, Any]


_kept_decoder = msgspec.json.Decoder(_Kept)
_point_decoder = msgspec.json.Decoder(list[float | None])


def kept(event_type: str, text: bytes) -> dict[str, Any]:
    """The newest data of a key, with `published_at`. Raises `Unreadable`."""
    try:
        if len(text) > MOST_BYTES:
            raise Unreadable(f"{len(text):,} bytes, at most {MOST_BYTES:,} are read")
        found = _kept_decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(str(error)) from error
    if found.at > time.time() + _AHEAD_S:
        # It would be the newest for as long as it stands there.
        raise Unreadable("its time is far ahead of the clock")
    check(event_type, found.data)
    return found.data | {"published_at": found.at}


def check(event_type: str, data: Any) -> None:
    """Raises `Unreadable` unless this may be the data of such an event."""
    try:
        msgspec.convert(data, _SHAPES.get(event_type, _Anything))
    except (msgspec.ValidationError, RecursionError) as error:
        raise Unreadable(str(error)) from error


def point(text: bytes) -> tuple[float, list[float | None]]:
    """A point of a history: its time and its values. Raises `Unreadable`."""
    try:
        values = _point_decoder.decode(text[:MOST_BYTES])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(str(error)) from error
    if not values or values[0] is None or not 0 <= values[0] <= _LATEST_S:
        raise Unreadable("a point begins with its time")
    return values[0], values[1:]


class FaultsTold:
    """What has been told of: a place in Redis that can't be read is told once until it can be again."""

    def __init__(self) -> None:
        self._places: set[str] = set()

    def unreadable(self, place: str, why: object) -> None:
        if place not in self._places:
            self._places.add(place)
            logger.warning("Redis key %s holds what can't be read, it is taken for unknown: %s", place, why)

    def readable(self, place: str) -> None:
        self._places.discard(place)


told = FaultsTold()
