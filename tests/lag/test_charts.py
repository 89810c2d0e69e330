"""Samples as points of a chart and of a sparkline."""

from __future__ import annotations

import pytest

from lag.charts import SPANS, TimeRange, WrongSpan, average, columns, highest, lowest, span_of, trend
from lag.group_charts import changes, group_charts, worst_chart
from lag.selectors import LagLimit

NOW = 10_000.0
QUARTER, HOUR = SPANS[0], SPANS[1]
FINE_S = 600.0


def line(*points: tuple[float, float | None], span: TimeRange = QUARTER, how=highest):
    """(seconds ago, value) of each point of the chart."""
    rows = [(NOW - ago, (value,)) for ago, value in points]
    times, (values,) = columns(rows, (how,), span=span, now=NOW, fine_s=FINE_S)
    assert times == sorted(times)
    return [(NOW - at, value) for at, value in zip(times, values, strict=True)]


def test_a_tick_is_a_point() -> None:
    assert line((10, 1.0), (5, 2.0), (0, 3.0)) == [(10, 1.0), (5, 2.0), (0, 3.0)]


def test_a_busy_worker_makes_no_gap_and_a_silence_does() -> None:
    assert line((15, 1.0), (0, 2.0)) == [(15, 1.0), (0, 2.0)]
    assert line((16, 1.0), (0, 2.0)) == [(16, 1.0), (8, None), (0, 2.0)]


def test_an_unknown_sample_is_a_gap_and_never_zero() -> None:
    assert line((10, 1.0), (5, None), (0, 3.0)) == [(10, 1.0), (5, None), (0, 3.0)]


def test_a_line_that_ended_doesnt_reach_to_now() -> None:
    assert line((30, 1.0)) == [(30, 1.0), (0, None)]
    assert line() == [(0, None)]


def test_thinned_samples_are_a_minute_apart_without_a_gap() -> None:
    assert line((820, 1.0), (760, 2.0), (700, 3.0)) == [(820, 1.0), (760, 2.0), (700, 3.0), (0, None)]
    assert line((860, 1.0), (700, 3.0))[1] == (780, None)


def test_where_thinned_samples_end_there_is_no_gap() -> None:
    assert line((590, 1.0), (540, 2.0), (535, 3.0))[:3] == [(590, 1.0), (540, 2.0), (535, 3.0)]


@pytest.mark.parametrize(("how", "value"), [(highest, 9.0), (lowest, 1.0), (average, 5.0)])
def test_of_one_step_the_samples_are_combined_without_the_unknown(how, value: float) -> None:
    assert line((8, 1.0), (4, None), (1, 9.0), span=HOUR, how=how) == [(1, value)]


def test_what_lies_outside_the_range_is_left_out() -> None:
    assert line((1_000, 7.0), (-5, 8.0), (0, 3.0)) == [(0, 3.0)]


def test_a_wrong_range_names_the_parameter_and_the_value() -> None:
    assert span_of("").value == "1h"
    with pytest.raises(WrongSpan, match=r"range: '2h' is not one of 15m, 1h, 6h, 24h"):
        span_of("2h")


def test_a_sparkline_is_even_in_time_and_holds_over_thinned_samples() -> None:
    points = [(NOW - ago, float(ago)) for ago in (880, 820, 760, 700, 640)]
    points += [(NOW - ago, float(ago)) for ago in range(600, 300, -5)]
    found = trend(points, now=NOW, fine_s=FINE_S)
    assert len(found) == 59
    # Each of the last steps has three ticks, of which the highest counts.
    assert found[29] == 445.0
    assert found[:2] == [880.0, 880.0]
    assert None not in found[:38]
    # 15 s of silence are no gap yet; then nobody knows.
    assert found[38:] == [310.0, *[None] * 20]


def test_an_unknown_sample_is_unknown_in_a_sparkline() -> None:
    found = trend([(NOW - 20, 5.0), (NOW - 1, None)], now=NOW, fine_s=FINE_S)
    assert found == [5.0, None]


def test_the_limit_is_drawn_where_the_lag_comes_near_it() -> None:
    def thresholds(lag: float | None):
        rows = [(NOW, (lag, 1.0, 1.0, 1.0))]
        return group_charts("g", rows, [], limit=10_000.0, span=QUARTER, now=NOW)["lag"]["thresholds"]

    assert thresholds(2_499) == []
    assert thresholds(None) == []
    assert [one["value"] for one in thresholds(2_500)] == [10_000.0]


def test_groups_that_came_later_are_gaps_before() -> None:
    found = {"a": [(NOW - 10, (1.0,)), (NOW, (2.0,))], "b": [(NOW, (3.0,))]}
    chart = worst_chart(found, {"b": LagLimit(10.0, "rule", False)}, span=QUARTER, now=NOW)
    assert chart is not None
    assert [one["values"] for one in chart["series"]] == [[1.0, 2.0], [None, 3.0]]
    assert [one["value"] for one in chart["thresholds"]] == [10.0]
    assert worst_chart({}, {}, span=QUARTER, now=NOW) is None


def test_changes_of_the_verdict_are_marked() -> None:
    found = changes([(1.0, "ok"), (2.0, "ok"), (3.0, "stalled"), (4.0, "ok")])
    assert [(one["at"], one["label"], one["tone"]) for one in found] == [
        (3.0, "Stalled", "bad"),
        (4.0, "OK", "idle"),
    ]
