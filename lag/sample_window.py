"""The last minutes of every partition, which verdicts look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from lag.evaluation import WINDOW_S, PartitionKey, Point
from lag.group_readings import GroupReading, PartitionReading, distrusted
from lag.models import GroupSample, PartitionSample


@dataclass(frozen=True, slots=True)
class SeenCommit:
    """A group's commit of a partition, as seen last. `is_stale`: made for an earlier topic of the name."""

    topic_id: str
    committed: int | None
    is_stale: bool = False


def next_seen(before: SeenCommit | None, now: SeenCommit) -> SeenCommit:
    """What is known of the commit that is seen `now`. Pure.

    A commit carries no topic id. One that stands where it stood when the topic became another, or beyond,
    is of the earlier topic, until it moves.
    """
    if before is None or before.committed is None:
        return now
    if now.committed is None:
        # The brokers drop the commits of a deleted topic, and a consumer may make them again.
        return before
    is_other = before.topic_id != now.topic_id
    stale = (
        0 < now.committed >= before.committed
        if is_other
        else before.is_stale and now.committed == before.committed
    )
    return replace(now, is_stale=stale)


class SampleWindow:
    """The stored samples of the last `WINDOW_S`, as points.

    The rows are the truth, and memory only spares reading them again: `refresh()` adds the rows that
    came since, whichever process wrote them, and a new process starts with all of them.
    """

    def __init__(self) -> None:
        self._points: dict[str, dict[PartitionKey, list[Point]]] = {}
        self._newest: datetime | None = None
        # By group, topic and partition.
        self._commits: dict[tuple[str, str, int], SeenCommit] = {}

    def refresh(self, *, now: datetime) -> None:
        """Read what was stored since the last call, and forget what is older than the window."""
        since = now - timedelta(seconds=WINDOW_S)
        rows = GroupSample.objects.filter(sampled_at__gte=since, partitions__isnull=False)
        if self._newest is not None:
            rows = rows.filter(sampled_at__gt=self._newest)
        found = rows.order_by("sampled_at").values_list("group", "sampled_at", "partitions")
        for group, sampled_at, partitions in found.iterator():
            self._newest = sampled_at
            self._add(group, sampled_at.timestamp(), partitions or [])
        self._forget(before=since.timestamp())

    def of(self, group: str) -> Mapping[PartitionKey, Sequence[Point]]:
        """Each partition's points, oldest first; those samples where something was unknown are left out."""
        return self._points.get(group, {})

    def told_apart(self, reading: GroupReading) -> GroupReading:
        """The reading, with commits of earlier topics of the names counted for nothing."""
        parts = [
            distrusted(part) if self._is_stale(reading.group, part) else part for part in reading.partitions
        ]
        return replace(reading, partitions=tuple(parts))

    def _is_stale(self, group: str, part: PartitionReading) -> bool:
        before = self._commits.get((group, part.topic, part.partition))
        now = SeenCommit(part.topic_id, part.committed)
        is_told = bool(part.topic_id) and not part.is_own and part.lag is not None
        return is_told and next_seen(before, now).is_stale

    def _add(self, group: str, at: float, partitions: Sequence[PartitionSample]) -> None:
        kept = self._points.setdefault(group, {})
        for part in partitions:
            committed, end, lag = part["committed"], part["end"], part["lag"]
            if part["topic_id"]:
                place = (group, part["topic"], part["partition"])
                seen = SeenCommit(part["topic_id"], committed)
                # A row with a lag was believed when it was written, for reasons that it doesn't keep.
                self._commits[place] = seen if lag is not None else next_seen(self._commits.get(place), seen)
            if committed is not None and end is not None and lag is not None:
                points = kept.setdefault((part["topic_id"], part["partition"]), [])
                points.append(Point(at, committed, end, lag))

    def _forget(self, *, before: float) -> None:
        for group, kept in list(self._points.items()):
            for key, points in list(kept.items()):
                while points and points[0].at < before:
                    points.pop(0)
                if not points:
                    del kept[key]
            if not kept:
                del self._points[group]
