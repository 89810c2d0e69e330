"""Readings of a console where all is well, with what a test wants to be otherwise."""

from __future__ import annotations

from typing import Any

from gdsconsole.assembly.overview.model import (
    Alerts,
    Brokers,
    Comparison,
    DeadLetters,
    Group,
    Lag,
    PipelineReading,
    Readings,
    Topic,
)

AT = 1_768_473_000.0
METRICS = "gds.metrics.production"
REFUSED = "gds.metrics.dlq"


def make_alerts(critical: int = 0, warning: int = 0, info: int = 0, acknowledged: int = 0) -> Alerts:
    return Alerts(critical, warning, info, acknowledged, oldest=None)


def make_group(name: str = "gds-alerting", **changes: Any) -> Group:
    fields: dict[str, Any] = {"name": name, "status": "ok", "total_lag": 0, "unknown_partitions": 0}
    return Group(**fields | changes)


def make_lag(*groups: Group) -> Lag:
    return Lag(groups, at=AT)


def make_brokers(**changes: Any) -> Brokers:
    fields: dict[str, Any] = {"live": 3, "expected": 3, "under_replicated": 0, "leaderless": 0, "at": AT}
    return Brokers(**fields | changes)


def make_pipeline(name: str = "alerting", **changes: Any) -> PipelineReading:
    fields: dict[str, Any] = {
        "name": name,
        "group": f"gds-{name}",
        "state": "running",
        "reason": "",
        "running": 1,
        "wanted": 1,
        "rates": {0: 50.0},
        "rates_out": {0: 0.5},
    }
    return PipelineReading(**fields | changes)


def make_readings(**changes: Any) -> Readings:
    fields: dict[str, Any] = {
        "alerts": make_alerts(),
        "dead_letters": DeadLetters(waiting=0, causes=0),
        "lag": make_lag(make_group("gds-alerting"), make_group("gds-dlq-index")),
        "brokers": make_brokers(),
        "pipelines": [make_pipeline("alerting"), make_pipeline("dlq-index", rates={0: 0.0})],
        "metrics": [Topic(METRICS, rate_in=50.0, end_total=1_204_000, at=AT)],
        "dead_letter_topics": [Topic(REFUSED, rate_in=0.0, end_total=41, at=AT)],
        "reads": {"alerting": [METRICS], "dlq-index": [REFUSED]},
        "instances": 12,
        "comparison": Comparison(),
        "live": True,
    }
    return Readings(**fields | changes)
