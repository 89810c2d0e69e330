"""From a group's history to a verdict on it. Pure: every time is a sample's own.

Judged by time, never by counts of samples, so a gap between samples or a slower sampler changes
nothing. A partition is given the first verdict that holds:

1. UNKNOWN: its lag is unknown.
2. OK or EMPTY: nothing is left to read; EMPTY where nobody would read what comes.
3. REWOUND: its commit went back within `WINDOW_S` and has not regained its place.
4. OK: everything that was in the log `LATE_S` ago has been read.
5. STOPPED or STALLED: no commit moved for `STOPPED_S` with nobody there, or `STALLED_S` with members.
6. SLOW: the lag doesn't fall, or so slowly that catching up takes more than `CATCH_UP_S`.
7. OK: it is catching up.

Where the history is too short for a step, the verdict is UNKNOWN, with how long has been watched.
A group is as bad as its worst partition.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from lag.group_readings import GroupReading, PartitionReading
from lag.models import Method, Status

LATE_S = 30.0
STOPPED_S = 30.0
# Longer than any usual commit interval: 5 s by default in Kafka's clients, and in this console.
STALLED_S = 60.0
WINDOW_S = 180.0
CATCH_UP_S = 3600.0
# Commits come in bursts, so a rate over one tick would jump between zero and twice the truth.
RATE_S = 30.0
SHORTEST_RATE_S = 2.0

_BADNESS = {status: rank for rank, status in enumerate(Status)}

PartitionKey = tuple[str, int]  # topic id, partition: a topic made anew has no history


@dataclass(frozen=True, slots=True)
class Point:
    """A partition at one earlier sample, where all of it was known."""

    at: float  # epoch seconds
    committed: int
    end: int
    lag: int


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    status: Status
    reason: str
    age_s: float | None
    method: Method | None
    consumed_per_s: float | None
    produced_per_s: float | None
    eta_s: float | None = None  # None: not behind, not at this rate, or unknown


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """`partitions` are in the order of the reading's. Sums are over the known; None: none is known."""

    status: Status
    reason: str
    partitions: tuple[PartitionStatus, ...]
    total_lag: int | None
    unknown_partitions: int | None  # None: it isn't known which partitions there are
    lost: int | None
    age_s: float | None
    consumed_per_s: float | None
    produced_per_s: float | None
    eta_s: float | None


def judge_group(
    reading: GroupReading, history: Mapping[PartitionKey, Sequence[Point]], *, at: float
) -> GroupStatus:
    """The verdict at `at`; `history` holds each partition's earlier points, oldest first."""
    if reading.error is not None:
        return unread(reading.error)
    if not reading.partitions:
        return _without_partitions(reading)
    verdicts = tuple(
        judge_partition(part, history.get((part.topic_id, part.partition), ()), reading.members, at=at)
        for part in reading.partitions
    )
    lags = [part.lag for part in reading.partitions if part.lag is not None]
    lost = [part.lost for part in reading.partitions if part.lost is not None]
    ages = [verdict.age_s for verdict in verdicts if verdict.age_s is not None]
    behind = [verdict for verdict in verdicts if verdict.status in _BEHIND or verdict.eta_s is not None]
    etas = [verdict.eta_s for verdict in behind if verdict.eta_s is not None]
    status, reason = _worst(reading, verdicts)
    return GroupStatus(
        status=status,
        reason=reason,
        partitions=verdicts,
        total_lag=sum(lags) if lags else None,
        unknown_partitions=len(reading.partitions) - len(lags),
        lost=sum(lost) if lost else None,
        age_s=max(ages, default=None),
        consumed_per_s=_sum([verdict.consumed_per_s for verdict in verdicts]),
        produced_per_s=_sum([verdict.produced_per_s for verdict in verdicts]),
        eta_s=max(etas) if etas and len(etas) == len(behind) else None,
    )


def unread(reason: str) -> GroupStatus:
    """The verdict on a group of which nothing could be read."""
    return GroupStatus(Status.UNKNOWN, reason, (), None, None, None, None, None, None, None)


def judge_partition(
    part: PartitionReading, earlier: Sequence[Point], members: int | None, *, at: float
) -> PartitionStatus:
    """The first verdict that holds, as the module says; `members` of the group, None if not known."""
    if part.lag is None or part.committed is None or part.end is None:
        # A partition that holds nothing is read to its end without a commit.
        is_read = part.lag == 0
        empty = Status.EMPTY if members == 0 else Status.OK
        return PartitionStatus(
            empty if is_read else Status.UNKNOWN, part.reason, part.age_s, part.method, None, None
        )
    now = Point(at, part.committed, part.end, part.lag)
    points = [*(point for point in earlier if at - WINDOW_S <= point.at < at), now]
    status, reason, eta_s = _judge(part, points, members)
    age_s, method = part.age_s, part.method
    if age_s is None and (passed := _interpolated(points)) is not None:
        age_s, method = at - passed, Method.INTERPOLATED
    return PartitionStatus(
        status=status,
        reason="; ".join(filter(None, (reason, part.reason))),
        age_s=age_s,
        method=method,
        consumed_per_s=_rate([(point.at, point.committed) for point in points]),
        produced_per_s=_rate([(point.at, point.end) for point in points]),
        eta_s=eta_s,
    )


def _judge(
    part: PartitionReading, points: Sequence[Point], members: int | None
) -> tuple[Status, str, float | None]:
    now = points[-1]
    watched_s = now.at - points[0].at
    peak = max(point.committed for point in points)
    if now.lag == 0:
        moved = any(point.committed != now.committed for point in points if now.at - point.at <= STOPPED_S)
        return (Status.EMPTY if members == 0 and not moved else Status.OK), "", None
    if now.committed < peak:
        return Status.REWOUND, f"the commit went back from {peak:,} to {now.committed:,}", None
    is_late = _late(points)
    if is_late is None and part.method is Method.RECORD and part.age_s is not None:
        # The record's own time is second choice: a producer may write what happened long ago.
        is_late = None if part.age_s > LATE_S else False
    if is_late is None:
        return Status.UNKNOWN, f"{now.lag:,} behind, watched for {watched_s:.0f} of {LATE_S:.0f} s", None
    if not is_late:
        return Status.OK, "", None
    stands_s = now.at - _standing_since(points)
    if stands_s >= STOPPED_S and (members == 0 or part.is_assigned is False):
        who = "the group has no members" if members == 0 else "no member reads this partition"
        return Status.STOPPED, f"{now.lag:,} behind, no commit for {stands_s:.0f} s: {who}", None
    if stands_s >= STALLED_S:
        return Status.STALLED, f"{now.lag:,} behind, no commit for {stands_s:.0f} s", None
    slope = _slope([(point.at, point.lag) for point in _since_behind(points)])
    eta_s = now.lag / -slope if slope < 0 else None
    if eta_s is None:
        return Status.SLOW, f"{now.lag:,} behind and not catching up ({slope:+,.1f}/s)", None
    if eta_s > CATCH_UP_S:
        return Status.SLOW, f"{now.lag:,} behind, caught up in {eta_s / 3600:,.1f} h at this rate", eta_s
    return Status.OK, f"{now.lag:,} behind, catching up", eta_s


def _late(points: Sequence[Point]) -> bool | None:
    """Whether something unread was in the log `LATE_S` ago; None: not watched for so long."""
    now = points[-1]
    before = [point for point in points if now.at - point.at >= LATE_S]
    if not before:
        return None
    then = before[-1]
    # Nothing was left to read then, though the log may have ended in transaction markers.
    was_read = then.lag == 0 and then.committed == now.committed
    return then.end > now.committed and not was_read


def _standing_since(points: Sequence[Point]) -> float:
    """Since when the commit stands where it is with something to read."""
    since = points[-1].at
    for point in reversed(points):
        if point.committed != points[-1].committed or point.lag == 0:
            break
        since = point.at
    return since


def _since_behind(points: Sequence[Point]) -> Sequence[Point]:
    """The points since it last had nothing to read; whoever is late has been behind for `LATE_S` at least."""
    caught_up = [place for place, point in enumerate(points) if point.lag == 0]
    return points[caught_up[-1] + 1 :] if caught_up else points


def _interpolated(points: Sequence[Point]) -> float | None:
    """When the log's end passed the commit, by the two samples around it; never beyond the samples."""
    committed = points[-1].committed
    for before, after in pairwise(points):
        if before.end <= committed < after.end:
            share = (committed - before.end) / (after.end - before.end)
            return before.at + share * (after.at - before.at)
    return None


def _rate(values: Sequence[tuple[float, int]]) -> float | None:
    """A second, over the last `RATE_S`; None without an earlier value, or where it went back."""
    at, value = values[-1]
    start = min(bisect_right(values, (at - RATE_S, -1)), len(values) - 1)
    since, first = values[start]
    if at - since < SHORTEST_RATE_S or any(b < a for (_, a), (_, b) in pairwise(values[start:])):
        return None
    return (value - first) / (at - since)


def _slope(values: Sequence[tuple[float, int]]) -> float:
    """The least-squares slope, a second: one dip or one burst hardly turns it."""
    middle = sum(at for at, _ in values) / len(values)
    mean = sum(value for _, value in values) / len(values)
    spread = sum((at - middle) ** 2 for at, _ in values)
    return sum((at - middle) * (value - mean) for at, value in values) / spread if spread else 0.0


_BEHIND = frozenset({Status.SLOW, Status.STALLED, Status.STOPPED, Status.REWOUND})


def _worst(reading: GroupReading, verdicts: Sequence[PartitionStatus]) -> tuple[Status, str]:
    pairs = list(zip(reading.partitions, verdicts, strict=True))
    statuses = {verdict.status for verdict in verdicts}
    if Status.OK in statuses:
        statuses.discard(Status.EMPTY)  # somebody reads, by hand-assigned partitions
    status = max(statuses, key=_BADNESS.__getitem__)
    alike = [(part, verdict) for part, verdict in pairs if verdict.status is status]
    # Of several, the furthest behind says most.
    part, verdict = max(alike, key=lambda pair: (pair[0].lag or 0, bool(pair[1].reason)))
    if not verdict.reason:
        return status, ""
    others = len(alike) - 1
    said = f"{part.topic}-{part.partition}: {verdict.reason}"
    return status, f"{said} (and {others} more like it)" if others and status is not Status.OK else said


def _without_partitions(reading: GroupReading) -> GroupStatus:
    if reading.members is None:
        return unread("the group has no commits, and its members couldn't be read")
    if reading.members:
        return unread("the group has members, and neither commits nor partitions yet")
    # Nobody reads, nothing was committed: there is nothing that it could be behind with.
    return GroupStatus(
        Status.EMPTY, "the group has neither members nor commits", (), 0, 0, 0, None, None, None, None
    )


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
