"""What samples add up to: the same in whatever batches they come."""

from __future__ import annotations

import math
import random
import statistics
import sys
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.topics.making import START, make_sample
from topics.warehouse.aggregates import (
    NOTHING,
    Addition,
    Figures,
    merged,
    merged_all,
    minutes_of,
    start_of,
    summarized,
)

WINDOW = timedelta(hours=1)
MINUTE = int(START.timestamp())


def figures(*values: float, outside: int = 0) -> Figures:
    return summarized(Addition(list(values), outside))


def minutes(*samples: tuple[float, float], window: timedelta = WINDOW) -> dict[int, tuple[int, int]]:
    """Samples measured at these seconds after START and sent at those: counted and outside by minute."""
    found = minutes_of(
        series=[7] * len(samples),
        metrics=[make_sample(1.0, measured) for measured, _ in samples],
        sent=[START + timedelta(seconds=sent) for _, sent in samples],
        window=window,
    )
    assert {series for series, _ in found} <= {7}
    return {
        (minute - MINUTE) // 60: (len(addition.values), addition.outside)
        for (_, minute), addition in found.items()
    }


def test_a_sample_counts_in_the_minute_it_was_measured_in() -> None:
    assert minutes((0, 1), (59.999, 60), (60, 61)) == {0: (2, 0), 1: (1, 0)}


def test_a_late_sample_updates_its_own_minute() -> None:
    assert minutes((0, 3_600), (1, 1_800)) == {0: (2, 0)}


def test_a_sample_beyond_the_window_is_counted_where_it_came() -> None:
    assert minutes((0, 3_600.001)) == {60: (0, 1)}
    assert minutes((3_600.001, 0)) == {0: (0, 1)}
    assert minutes((3_600, 0)) == {60: (1, 0)}


def test_another_instances_wrong_clock_makes_nobody_late() -> None:
    assert minutes((86_400, 0), (0, 1)) == {0: (1, 1)}


def test_a_backlog_read_days_later_is_not_late() -> None:
    """Late is what was sent late, whenever it is read: nothing here is told what time it is now."""
    assert minutes(*[(second, second + 1) for second in range(0, 600, 60)]) == dict.fromkeys(
        range(10), (1, 0)
    )


@pytest.mark.parametrize("values", [[3.0], [1.0, 2.0], [4.0, 1.0, 3.0, 2.0]])
def test_few_values_are_exact(values: list[float]) -> None:
    found = figures(*values)
    assert (found.count, found.minimum, found.maximum, found.total) == (
        len(values),
        min(values),
        max(values),
        sum(values),
    )
    assert found.p50 == statistics.median(values)


def test_many_values_are_close() -> None:
    chance = random.Random(7)
    values = [chance.lognormvariate(3, 1) for _ in range(20_000)]
    found = merged_all(figures(*values[n : n + 100]) for n in range(0, len(values), 100))
    ordered = sorted(values)
    for quantile, value in ((0.5, found.p50), (0.95, found.p95), (0.99, found.p99)):
        assert value is not None
        rank = sum(one <= value for one in ordered) / len(ordered)
        assert abs(rank - quantile) < 0.01
    assert found.count == 20_000
    assert found.sketch is not None
    assert len(found.sketch) < 2_000


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(finite, min_size=1, max_size=300), st.integers(1, 50))
def test_batches_of_any_size_add_up_to_the_same(values: list[float], size: int) -> None:
    parts = [figures(*values[n : n + size]) for n in range(0, len(values), size)]
    whole = merged_all(parts)
    assert (whole.count, whole.minimum, whole.maximum) == (len(values), min(values), max(values))
    assert whole.total is not None
    assert abs(whole.total) <= sys.float_info.max
    largest = max(map(abs, values))
    if largest * len(values) < sys.float_info.max:
        assert math.isclose(whole.total, math.fsum(values), rel_tol=1e-9, abs_tol=largest * 1e-9)
    for value in (whole.p50, whole.p95, whole.p99):
        assert value is not None
        assert min(values) <= value <= max(values)


@given(st.lists(st.tuples(st.lists(finite, max_size=5), st.integers(0, 3)), max_size=6))
def test_nothing_is_lost_by_merging(parts: list[tuple[list[float], int]]) -> None:
    whole = merged_all(figures(*values, outside=outside) for values, outside in parts)
    assert whole.count == sum(len(values) for values, _ in parts)
    assert whole.outside == sum(outside for _, outside in parts)
    assert (whole.sketch is None) == (whole.count == 0)


def test_nothing_changes_nothing() -> None:
    one = figures(1.0, 2.0, outside=3)
    assert merged(one, NOTHING) == one == merged(NOTHING, one)
    assert merged(NOTHING, figures(outside=2)) == Figures(outside=2)


def test_spans_start_where_clocks_show_zero() -> None:
    moment = START + timedelta(minutes=17, seconds=3.5)
    assert start_of(moment, timedelta(minutes=1)) == START + timedelta(minutes=17)
    assert start_of(moment, timedelta(hours=1)) == START - timedelta(minutes=30)
