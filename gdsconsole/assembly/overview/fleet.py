"""The newest metrics as a table: a row for each instance, what is watched as columns. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gdsconsole.assembly.overview.model import BAD, METRIC_FRESH_S, WARN
from topics.alerting.links import alerts_of_instance
from topics.units import unit_of

COLUMNS = 6
ROWS = 12
_TONES = (BAD, WARN, "info", "")

Newest = Mapping[str, Mapping[str, Any]]
# An instance and the name of a metric, with the tone of the alert that fires for them.
Alerting = Mapping[tuple[str, str], str]


@dataclass(frozen=True, slots=True)
class Column:
    """One metric: `cpu_usage_percent` is labelled "cpu usage", in %."""

    metric: str
    label: str
    symbol: str
    style: str


@dataclass(frozen=True, slots=True)
class MetricCell:
    """An instance's newest value of one metric, None where it sent none lately; `tone` of its alert."""

    value: float | None
    style: str
    live: str
    tone: str


@dataclass(frozen=True, slots=True)
class FleetRow:
    instance: str
    database_type: str
    environment: str
    seen_at: float
    tone: str
    cells: Sequence[MetricCell]

    @property
    def href(self) -> str:
        return alerts_of_instance(self.instance)


@dataclass(frozen=True, slots=True)
class Fleet:
    """`instances` counts them all, `rows` are those that are shown."""

    columns: Sequence[Column]
    rows: Sequence[FleetRow]
    instances: int

    @property
    def more(self) -> int:
        return self.instances - len(self.rows)


def fleet(newest: Newest, *, alerting: Alerting, watched: Sequence[str] = (), now: float) -> Fleet:
    """From `metric.newest`; `alerting` are the instances and metrics for which an alert fires.

    Columns are the `watched` metrics in their order, then the commonest; one that an alert fires for is
    among them. Rows keep their places: those with an alert first, then by name. Nothing older than a
    minute counts.
    """
    by_instance = _fresh(newest, now)
    counts: dict[str, int] = {}
    for found in by_instance.values():
        for name in found:
            counts[name] = counts.get(name, 0) + 1
    rank = {name: place for place, name in reversed(list(enumerate(watched)))}

    def importance(name: str) -> tuple[int, int, str]:
        return rank.get(name, len(watched)), -counts[name], name

    firing = {metric for _, metric in alerting}
    chosen = sorted(counts, key=lambda name: (name not in firing, importance(name)))[:COLUMNS]
    columns = [_column(name) for name in sorted(chosen, key=importance)]
    rows = [_row(name, found, columns, alerting) for name, found in by_instance.items()]
    rows.sort(key=lambda row: (not row.tone, row.instance))
    return Fleet(columns, rows[:ROWS], len(rows))


def instances(newest: Newest, *, now: float) -> int:
    """How many instances have sent a metric in the last minute."""
    return len(_fresh(newest, now))


def _fresh(newest: Newest, now: float) -> dict[str, dict[str, Mapping[str, Any]]]:
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for one in newest.values():
        if now - one["published_at"] <= METRIC_FRESH_S:
            found.setdefault(one["instance_id"], {})[one["metric_name"]] = one
    return found


def _column(metric: str) -> Column:
    unit = unit_of(metric)
    # The unit is written beside the label, so the label needn't end in its word.
    words = metric.removesuffix("_percent").removesuffix("_ms").removesuffix("_seconds")
    return Column(metric, words.replace("_", " "), unit.symbol, unit.style)


def _row(
    instance: str,
    found: Mapping[str, Mapping[str, Any]],
    columns: Sequence[Column],
    alerting: Alerting,
) -> FleetRow:
    newest = max(found.values(), key=lambda one: one["published_at"])
    cells = [
        MetricCell(
            value=found[column.metric].get("value") if column.metric in found else None,
            style=column.style,
            live=f"metric.newest:{instance}/{column.metric}:value",
            tone=alerting.get((instance, column.metric), ""),
        )
        for column in columns
    ]
    return FleetRow(
        instance=instance,
        database_type=str(newest["database_type"]),
        environment=str(newest.get("environment") or ""),
        seen_at=newest["published_at"],
        # Also of an alert whose metric has no column here.
        tone=min((alerting.get((instance, metric), "") for metric in found), key=_TONES.index),
        cells=cells,
    )
