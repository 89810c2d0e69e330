"""What one reading of consumer groups says, and how lag and age follow from it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lag.models import Method

if TYPE_CHECKING:
    from gdsconsole.kafka.browsing.record_times import RecordTime
    from gdsconsole.kafka.cluster.groups import LogRange

# Further ahead no two clocks are; Kafka's brokers themselves refuse such a time unless told otherwise.
AHEAD_S = 3600.0


@dataclass(frozen=True, slots=True)
class PartitionReading:
    """Offsets and counts in messages. None is unknown, and `reason` says why."""

    topic: str
    topic_id: str
    partition: int
    committed: int | None
    end: int | None
    log_start: int | None
    lag: int | None
    lost: int | None  # deleted by retention before they were read
    is_assigned: bool | None  # to a member; None: the group isn't settled, or its members are unknown
    age_s: float | None = None  # of the oldest unread message
    method: Method | None = None
    reason: str = ""
    is_own: bool = False  # the commit says itself that it was made for this very topic


@dataclass(frozen=True, slots=True)
class GroupReading:
    group: str
    state: str  # Kafka's
    members: int | None
    partitions: tuple[PartitionReading, ...]
    error: str | None  # why the commits couldn't be read; then there are no partitions here


@dataclass(frozen=True, slots=True)
class TopicEnd:
    topic_id: str
    end_total: int | None  # sum of the partitions' high watermarks; None when one is unknown


@dataclass(frozen=True, slots=True)
class GroupsSnapshot:
    at: float  # epoch seconds, when the ends were read
    cluster_id: str
    groups: tuple[GroupReading, ...]
    topics: Mapping[str, TopicEnd]
    incomplete: str | None  # why groups may be missing


def measure(committed: int | None, log: LogRange) -> tuple[int | None, int | None, int | None, str]:
    """(end, lag, lost, reason) of a partition. Pure."""
    if log.log_start is None or log.stable_end is None or log.high_watermark is None:
        return None, None, None, log.error or "the partition's leader gave no answer"
    start, stable, high = log.log_start, log.stable_end, log.high_watermark
    if committed is None:
        if start >= high:
            return stable, 0, 0, ""  # nothing to read, whatever the reset policy
        return (
            stable,
            None,
            None,
            f"no commit: 0 behind by auto.offset.reset=latest, {stable - start:,} by earliest",
        )
    if committed > high:
        # Zero would hide a topic made anew, or a log cut by an unclean election.
        return (
            high,
            None,
            None,
            f"committed {committed:,} is beyond the log's end {high:,}: the group will be reset",
        )
    end = high if committed > stable else stable
    lag = max(0, end - max(committed, start))
    held = high - end
    reason = f"{held:,} more wait for open transactions" if held else ""
    return end, lag, max(0, start - committed), reason


def measure_unread(committed: int, log: LogRange) -> tuple[int | None, int | None, int | None, str]:
    """As `measure`, of a commit that was made for a topic which had the name before. Pure.

    Its group starts this topic at the beginning: only the console's own groups say what a commit is of.
    """
    end, _, _, reason = measure(None, log)
    if end is None or log.log_start is None:
        return end, None, None, reason
    said = f"the commit at {committed:,} is of a topic that had the name before: all is still to be read"
    return end, max(0, end - log.log_start), 0, said


def distrusted(part: PartitionReading) -> PartitionReading:
    """The reading of a commit that hasn't moved since the topic is another. Pure."""
    said = f"committed {part.committed:,} before the topic was deleted and made again: the lag is unknown"
    return replace(part, lag=None, lost=None, age_s=None, method=None, reason=said)


def aged(part: PartitionReading, oldest: RecordTime | None, at: float) -> PartitionReading:
    """The reading with its age; `oldest` is what was found at the committed offset. Pure."""
    if part.lag is None:
        return part
    if part.lag == 0:
        return replace(part, age_s=0.0, method=Method.CAUGHT_UP)
    if oldest is None:
        return part
    if oldest.written_at is None:
        # What is left to the end are markers of transactions and aborted records: nobody will read them.
        return replace(part, lag=0, age_s=0.0, method=Method.MARKERS)
    if oldest.written_at <= 0:
        return part  # the record has no timestamp
    if oldest.written_at > at + AHEAD_S:
        stamp = f"{oldest.written_at * 1000:.0f} ms"
        reason = f"the next record's time, {stamp}, lies ahead of ours: its age is unknown"
        return replace(part, reason="; ".join(filter(None, (part.reason, reason))))
    return replace(part, age_s=max(0.0, at - oldest.written_at), method=Method.RECORD)
