"""What the warehouse forgets, and that nothing is lost on the way from minutes to hours."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from django.db import transaction

from gdsconsole.env import Warehouse
from tests.topics.making import START, Feed, make_sample
from topics.models import MetricHour, MetricMinute, MetricPoint
from topics.warehouse import retention
from topics.warehouse.aggregates import Addition, Figures, merged_all, summarized
from topics.warehouse.retention import RetentionResult, forget_old
from topics.warehouse.rollups import add_figures, figures_of
from topics.warehouse.series_ids import SeriesIndex, SeriesKey
from topics.warehouse.step import WarehouseStep

pytestmark = pytest.mark.django_db(transaction=True)

GROUP = "gds-warehouse"
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
KEPT = Warehouse(
    batch_messages=100,
    batch_seconds=5,
    window_seconds=3_600,
    points_days=7,
    minutes_days=90,
    hours_days=730,
)


def forget(now: datetime, clock: Callable[[], float] = lambda: 0.0) -> RetentionResult:
    return forget_old(now=now, kept=KEPT, budget_s=1.0, clock=clock)


def store(stored_at: datetime, count: int, *, partition: int = 0) -> None:
    """Points that follow what the partition has, stored then."""
    feed = Feed(partition, group=GROUP)
    step = WarehouseStep(group=GROUP, clock=lambda: stored_at)
    feed.stored = feed.next = step.assigned([feed.partition])[feed.partition]
    step.handle(feed.batch(*[make_sample(n) for n in range(count)]))


def left() -> dict[int, int]:
    """How many points each partition has."""
    partitions = MetricPoint.objects.values_list("origin__partition", flat=True)
    return {number: list(partitions).count(number) for number in sorted(set(partitions))}


def series(number: int = 1) -> int:
    return SeriesIndex().ids([SeriesKey("postgresql", f"db-{number}", "cpu", "production", "")])[0]


def add(at: datetime, *values: float, of: int = 1, outside: int = 0) -> Figures:
    figures = summarized(Addition(list(values), outside))
    one = series(of)
    with transaction.atomic():
        add_figures(MetricMinute, {(one, at): figures})
    return figures


def test_points_go_a_while_after_they_were_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retention, "POINTS_AT_ONCE", 3)
    for partition in (0, 1):
        store(START, 7, partition=partition)
        store(START + DAY, 4, partition=partition)
    assert forget(START + 7 * DAY) == RetentionResult(0, 0, 0, is_done=True)
    done = forget(START + 7 * DAY + MINUTE)
    assert (done.points, left()) == (14, {0: 4, 1: 4})
    assert forget(START + 8 * DAY + MINUTE).points == 8


def test_a_run_ends_with_its_time_and_the_next_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "POINTS_AT_ONCE", 3)
    store(START, 10)
    seconds = count(0, 0.4)
    first = forget(START + 8 * DAY, clock=lambda: next(seconds))
    assert 0 < first.points < 10
    assert not first.is_done
    assert forget(START + 8 * DAY).points == 10 - first.points


def test_old_minutes_become_their_hours() -> None:
    hour = START.replace(minute=0)
    parts = [add(hour + n * MINUTE, float(n), n + 0.5, outside=n % 2) for n in range(60)]
    other = add(hour + 5 * MINUTE, 7.0, of=2)
    later = add(hour + HOUR, 1.0)
    assert forget(hour + 90 * DAY + timedelta(minutes=59)).minutes == 0
    assert forget(hour + 90 * DAY + HOUR).minutes == 61
    assert [figures_of(row) for row in MetricMinute.objects.all()] == [later]
    rows = {row.series_id: row for row in MetricHour.objects.all()}
    assert {row.at for row in rows.values()} == {hour}
    whole = figures_of(rows[series(1)])
    expected = merged_all(parts)
    assert (whole.count, whole.minimum, whole.maximum, whole.total, whole.outside) == (
        120,
        0,
        59.5,
        3_570,
        30,
    )
    assert whole == expected
    assert figures_of(rows[series(2)]) == other


def test_a_minute_that_comes_after_its_hour_joins_it() -> None:
    hour = START.replace(minute=0)
    add(hour, 1.0)
    forget(hour + 91 * DAY)
    add(hour, 3.0)
    add(hour + MINUTE, 5.0)
    assert forget(hour + 91 * DAY).minutes == 2
    row = MetricHour.objects.get()
    assert (row.count, row.minimum, row.maximum, row.p50) == (3, 1, 5, 3)
    assert not MetricMinute.objects.exists()


def test_many_series_take_several_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "SERIES_AT_ONCE", 2)
    for number in range(5):
        for minute in (0, 30):
            add(START + minute * MINUTE, 1.0, of=number)
    assert forget(START + 100 * DAY).minutes == 10
    assert sorted(MetricHour.objects.values_list("count", flat=True)) == [1] * 10


def test_a_failure_between_merging_and_deleting_leaves_both_as_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add(START, 1.0)

    def fail(*given: Any) -> None:
        add_figures(*given)
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(retention, "add_figures", fail)
        with pytest.raises(RuntimeError):
            forget(START + 100 * DAY)
    assert MetricMinute.objects.count() == 1
    assert not MetricHour.objects.exists()
    assert forget(START + 100 * DAY).minutes == 1
    assert MetricHour.objects.get().count == 1


def test_old_hours_are_deleted() -> None:
    add(START, 1.0)
    forget(START + 100 * DAY)
    assert forget(START + 729 * DAY).hours == 0
    assert forget(START + 731 * DAY).hours == 1
    assert not MetricHour.objects.exists()


def test_an_empty_warehouse_has_nothing_to_forget() -> None:
    assert forget(START) == RetentionResult(0, 0, 0, is_done=True)


def test_the_task_reads_the_settings(settings: Any) -> None:
    from topics.tasks import forget_old_metrics

    store(START, 2)
    forget_old_metrics()
    assert left() == {}
