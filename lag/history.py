"""The last minutes of every partition, which verdicts look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from lag.evaluate import WINDOW_S, PartitionKey, Point
from lag.models import GroupSample, PartitionSample


class History:
    """The stored samples of the last `WINDOW_S`, as points.

    The rows are the truth, and memory only spares reading them again: `refresh()` adds the rows that
    came since, whichever process wrote them, and a new process starts with all of them.
    """

    def __init__(self) -> None:
        self._points: dict[str, dict[PartitionKey, list[Point]]] = {}
        self._newest: datetime | None = None

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

    def _add(self, group: str, at: float, partitions: Sequence[PartitionSample]) -> None:
        kept = self._points.setdefault(group, {})
        for part in partitions:
            committed, end, lag = part["committed"], part["end"], part["lag"]
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
