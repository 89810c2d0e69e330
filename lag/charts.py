"""Samples as charts: the time ranges a page offers, and points that a chart can draw. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

# Longer than this between two samples is a gap: a busy worker may miss two ticks of 5 s. Of what is
# older than `fine_s` one sample a minute is kept.
GAP_S = 15.0
THINNED_GAP_S = 150.0
DEFAULT_SPAN = "1h"
TREND_POINTS = 60

Row = tuple[float, Sequence[float | None]]  # epoch seconds, the values of each column
Combine = Callable[[Sequence[float]], float]


class WrongSpan(ValueError):
    """A time range that isn't offered; the message names the parameter and the value."""


@dataclass(frozen=True, slots=True)
class TimeRange:
    """A time range: how long, how many seconds one point stands for, how often a page reads it anew."""

    value: str
    label: str
    seconds: int
    step_s: int
    every_s: int


SPANS = (
    TimeRange("15m", "15 min", 900, 5, 5),
    TimeRange("1h", "1 hour", 3_600, 10, 10),
    TimeRange("6h", "6 hours", 21_600, 60, 30),
    TimeRange("24h", "24 hours", 86_400, 240, 60),
)
# What sparklines show.
TREND_SPAN = SPANS[0]


def span_of(text: str) -> TimeRange:
    """The range that a page's `range` parameter names. Raises `WrongSpan`."""
    for span in SPANS:
        if span.value == (text or DEFAULT_SPAN):
            return span
    raise WrongSpan(f"range: {text!r} is not one of {', '.join(span.value for span in SPANS)}")


def highest(values: Sequence[float]) -> float:
    return max(values)


def lowest(values: Sequence[float]) -> float:
    return min(values)


def average(values: Sequence[float]) -> float:
    return fmean(values)


def columns(
    rows: Iterable[Row], combine: Sequence[Combine], *, span: TimeRange, now: float, fine_s: float
) -> tuple[list[float], list[list[float | None]]]:
    """Times and a list of values for each column, one point a step; rows come oldest first.

    What was not sampled, or sampled as unknown, is a None: a gap in the line. So is what lies between the
    last sample and now; before the first one nothing is drawn.
    """
    first = now - span.seconds
    steps: dict[int, list[Row]] = {}
    for at, values in rows:
        if first <= at <= now:
            steps.setdefault(int((at - first) // span.step_s), []).append((at, values))
    times: list[float] = []
    found: list[list[float | None]] = [[] for _ in combine]
    nothing = [None] * len(combine)

    def add(at: float, values: Sequence[float | None]) -> None:
        times.append(round(at, 1))
        for column, value in zip(found, values, strict=True):
            column.append(value)

    newest: float | None = None
    for _, members in sorted(steps.items()):
        at = members[-1][0]
        if newest is not None and _is_gap(newest, members[0][0], now, fine_s):
            add((newest + members[0][0]) / 2, nothing)
        add(at, [_combined(members, index, how) for index, how in enumerate(combine)])
        newest = at
    if newest is None or _is_gap(newest, now, now, fine_s):
        add(now, nothing)
    return times, found


def trend(
    points: Sequence[tuple[float, float | None]],
    *,
    now: float,
    fine_s: float,
    combine: Combine = highest,
) -> list[float | None]:
    """A sparkline of the last quarter of an hour, its points evenly spaced; oldest first, as `points` are.

    A step without a sample holds the value before it, unless that was too long ago. What lies before the
    first sample is left out.
    """
    step_s = TREND_SPAN.seconds / TREND_POINTS
    times = [at for at, _ in points]
    found: list[float | None] = []
    for place in range(TREND_POINTS):
        end = now - (TREND_POINTS - 1 - place) * step_s
        last = bisect_right(times, end)
        since = bisect_right(times, end - step_s, hi=last)
        if since < last:
            known = [value for _, value in points[since:last] if value is not None]
            found.append(combine(known) if known else None)
        elif last and not _is_gap(times[last - 1], end, now, fine_s):
            found.append(points[last - 1][1])
        elif found:
            found.append(None)
    return found


def _is_gap(before: float, after: float, now: float, fine_s: float) -> bool:
    # The sample after may be the first of those that are all kept.
    is_thinned = before < now - fine_s + 60
    return after - before > (THINNED_GAP_S if is_thinned else GAP_S)


def _combined(rows: Sequence[Row], index: int, how: Combine) -> float | None:
    known = [value for _, values in rows if (value := values[index]) is not None]
    return round(how(known), 3) if known else None
