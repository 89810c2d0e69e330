"""What the warehouse forgets: old points, old minutes once they are part of their hours, old hours.

Every transaction is small, because whoever writes waits for it; a run ends when nothing is due any
more or its time is over, and the next one goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic

from django.db import transaction

from gdsconsole.env import Warehouse
from topics.models import MetricHour, MetricMinute, MetricPoint, StreamPartition
from topics.warehouse.aggregates import Figures, merged, start_of
from topics.warehouse.rollups import add_figures, figures_of

HOUR = timedelta(hours=1)
POINTS_AT_ONCE = 5_000
# An hour of these is 60 rows each.
SERIES_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class RetentionResult:
    """How many rows of each a run took away. `is_done` says whether nothing more was due."""

    points: int
    minutes: int
    hours: int
    is_done: bool


def forget_old(
    *, now: datetime, kept: Warehouse, budget_s: float, clock: Callable[[], float] = monotonic
) -> RetentionResult:
    """Delete what is older than `kept` says, for about `budget_s` seconds."""
    deadline = clock() + budget_s

    def is_over() -> bool:
        return clock() >= deadline

    points = _delete_points(now - timedelta(days=kept.points_days), is_over)
    minutes = _roll_up(start_of(now - timedelta(days=kept.minutes_days), HOUR), is_over)
    hours = _delete_hours(now - timedelta(days=kept.hours_days), is_over)
    return RetentionResult(points, minutes, hours, is_done=not is_over())


def _delete_points(before: datetime, is_over: Callable[[], bool]) -> int:
    """Those stored before. A partition's points are stored in the order of their offsets."""
    deleted = 0
    for origin in StreamPartition.objects.order_by("pk").values_list("pk", flat=True):
        stored = MetricPoint.objects.filter(origin_id=origin)
        taken = POINTS_AT_ONCE
        while taken == POINTS_AT_ONCE and not is_over():
            oldest = stored.order_by("offset").values_list("offset", flat=True)[:POINTS_AT_ONCE]
            last = max(oldest, default=None)
            if last is None:
                break
            taken, _ = stored.filter(offset__lte=last, stored_at__lt=before).delete()
            deleted += taken
    return deleted


def _roll_up(before: datetime, is_over: Callable[[], bool]) -> int:
    """Merge minutes before this hour into theirs; how many there were."""
    moved = 0
    while not is_over():
        oldest = (
            MetricMinute.objects.filter(at__lt=before).order_by("at").values_list("at", flat=True).first()
        )
        if oldest is None:
            break
        moved += _roll_up_some(start_of(oldest, HOUR))
    return moved


@transaction.atomic
def _roll_up_some(hour: datetime) -> int:
    """Some series' minutes of the hour. What is merged is deleted with it, so it is merged once."""
    of_hour = MetricMinute.objects.filter(at__gte=hour, at__lt=hour + HOUR)
    series = sorted(set(of_hour.order_by("at").values_list("series_id", flat=True)[: SERIES_AT_ONCE * 60]))
    chosen = of_hour.filter(series_id__in=series[:SERIES_AT_ONCE])
    rows = list(chosen.select_for_update().order_by("series_id", "at"))
    found: dict[tuple[int, datetime], Figures] = {}
    for row in rows:
        place = (row.series_id, hour)
        figures = figures_of(row)
        found[place] = merged(found[place], figures) if place in found else figures
    add_figures(MetricHour, found)
    # Exactly these: a late sample may have made another minute of the hour in the meantime.
    for at in {row.at for row in rows}:
        of_hour.filter(at=at, series_id__in=[row.series_id for row in rows if row.at == at]).delete()
    return len(rows)


def _delete_hours(before: datetime, is_over: Callable[[], bool]) -> int:
    deleted = 0
    old = MetricHour.objects.filter(at__lt=before).order_by("at").values_list("at", flat=True)
    while not is_over():
        oldest = old.first()
        if oldest is None:
            break
        taken, _ = MetricHour.objects.filter(at=oldest).delete()
        deleted += taken
    return deleted
