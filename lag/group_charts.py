"""Charts of consumer groups, as docs/design.md describes them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from gdsconsole.text.names import shown
from lag.charts import GAP_S, Row, TimeRange, average, columns, highest
from lag.models import Status
from lag.selectors import GROUPS_FINE_S, LagLimit

_EVENT_TONES = {Status.STALLED: "bad", Status.STOPPED: "bad", Status.SLOW: "warn", Status.REWOUND: "warn"}
_MOST_EVENTS = 12


def group_charts(
    group: str,
    rows: Sequence[Row],
    statuses: Sequence[tuple[float, str]],
    *,
    limit: float | None,
    span: TimeRange,
    now: float,
) -> dict[str, Any]:
    """Lag, seconds behind, and rates of a group; rows are (time, [lag, age, consumed, produced])."""
    how = (highest, highest, average, average)
    times, (lag, age, consumed, produced) = columns(rows, how, span=span, now=now, fine_s=GROUPS_FINE_S)
    common = {"times": times, "window_s": span.seconds, "gap_s": GAP_S}

    def line(label: str, values: Sequence[float | None], field: str, tone: int) -> dict[str, Any]:
        return {"label": label, "values": values, "live": f"lag.sampled:{group}:{field}", "tone": tone}

    return {
        "lag": {
            **common,
            "series": [line("lag", lag, "total_lag", 1)],
            "thresholds": _limit_line(limit, lag),
            "events": changes(statuses),
        },
        "age": {**common, "series": [line("behind", age, "age_s", 3)], "format": "duration"},
        "rates": {
            **common,
            "series": [
                line("produced", produced, "produced_per_s", 2),
                line("consumed", consumed, "consumed_per_s", 1),
            ],
            "format": "rate",
        },
    }


def with_values(found: Mapping[str, Sequence[Row]]) -> list[str]:
    """The groups whose lag was known at some time in the range, in their order."""
    return [group for group, rows in found.items() if any(lag is not None for _, (lag,) in rows)]


def worst_chart(
    found: Mapping[str, Sequence[Row]], limits: Mapping[str, LagLimit], *, span: TimeRange, now: float
) -> dict[str, Any] | None:
    """The lag of several groups, with the lowest of their limits; None where there is no group."""
    if not found:
        return None
    # Groups of one tick share its time.
    merged: dict[float, list[float | None]] = {}
    for place, rows in enumerate(found.values()):
        for at, (lag,) in rows:
            merged.setdefault(at, [None] * len(found))[place] = lag
    how = [highest] * len(found)
    times, series = columns(sorted(merged.items()), how, span=span, now=now, fine_s=GROUPS_FINE_S)
    least = min((limit.value for limit in limits.values()), default=None)
    return {
        "times": times,
        "series": [
            {"label": shown(group), "values": values} for group, values in zip(found, series, strict=True)
        ],
        "thresholds": _limit_line(least, [value for values in series for value in values]),
    }


def changes(statuses: Sequence[tuple[float, str]]) -> list[dict[str, Any]]:
    """The moments when the verdict changed; of many the newest."""
    found = [
        {"at": at, "label": str(Status(status).label), "tone": _EVENT_TONES.get(Status(status), "idle")}
        for (_, before), (at, status) in pairwise(statuses)
        if before != status
    ]
    return found[-_MOST_EVENTS:]


def _limit_line(limit: float | None, lag: Sequence[float | None]) -> list[dict[str, Any]]:
    """The limit, where the lag came near enough that the line leaves it a shape to see."""
    most = max((value for value in lag if value is not None), default=0)
    if limit is None or most < limit / 4:
        return []
    return [{"value": limit, "label": "alert above", "tone": "bad"}]
