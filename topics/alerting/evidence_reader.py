"""What Kafka still holds about an alert: the record that fired it, and the values around it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from gdsconsole.kafka.browsing.record_window import RecordWindow, read_window
from gdsconsole.kafka.clients import Record
from gdsconsole.kafka.errors import InvalidMessage, KafkaUnavailable, UnknownTopic
from gdsconsole.kafka.timestamps import stamp_ms, written_at
from gdsconsole.pipelines.connection import kafka_settings
from gdsconsole.text.content import one_line
from topics.alerting.evidence import SeriesTrace, history_of, is_of
from topics.event_time import event_time, sent_at
from topics.models import Alert
from topics.telemetry import Metric, decode_metric
from topics.units import unit_of

BEFORE, AFTER = 4_000, 12_000
BUDGET_S = 2.5
MOVED = 3.0  # by how many times its usual variation a metric's level must go to have moved


@dataclass(frozen=True, slots=True)
class AlertEvidence:
    """`error` is a line where Kafka could not be read. `record` is None where it is gone, or never was."""

    chart: dict[str, Any]
    note: str
    record: dict[str, Any] | None = None
    others: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""


def read_evidence(alert: Alert, *, live: str) -> AlertEvidence:
    """The evidence of an alert; of one that no topic knows, the chart of what its row says."""
    known = SeriesTrace(alert.metric_name, *_known_points(alert))
    if alert.topic is None or alert.partition is None or alert.offset is None:
        return AlertEvidence(
            _chart(alert, known, live), "The values the console stored, and those that come in now."
        )
    try:
        window = _read(alert.topic, alert.partition, max(0, alert.offset - BEFORE), alert.offset + AFTER)
        cause = next((record for record in window.records if record.offset() == alert.offset), None)
        if cause is None and not window.is_whole:
            cause = next(iter(_read(alert.topic, alert.partition, alert.offset, alert.offset).records), None)
    except (KafkaUnavailable, UnknownTopic) as error:
        return AlertEvidence(_chart(alert, known, live), "The values the console stored.", error=str(error))
    metrics = [metric for record in window.records if (metric := _decoded(record)) is not None]
    history = history_of(metrics, labels=alert.labels, metric_name=alert.metric_name, around=alert.started_at)
    own = history.own.within(*_shown(alert))
    if len(own.times) < 2:
        own = known
    return AlertEvidence(
        chart=_chart(alert, own, live),
        note=_note(len(own.times), history.left_out, window),
        record=_cause(alert, cause),
        others=[_other(trace) for trace in history.others],
    )


def _read(topic: str, partition: int, first: int, last: int) -> RecordWindow:
    return read_window(kafka_settings(), topic, partition, first=first, last=last, budget_s=BUDGET_S)


def _cause(alert: Alert, record: Record | None) -> dict[str, Any] | None:
    """The record, unless it is about something else: a topic made anew begins at offset 0 again."""
    metric = _decoded(record) if record is not None else None
    if record is None or metric is None or metric.metric_name != alert.metric_name:
        return None
    return _record(record, metric) if is_of(metric, alert.labels) else None


def _decoded(record: Record) -> Metric | None:
    try:
        return decode_metric(record.value())
    except InvalidMessage:
        return None


def _known_points(alert: Alert) -> tuple[list[float], list[float]]:
    points = {
        (alert.fired_at or alert.started_at).timestamp(): alert.value,
        alert.last_sample_at.timestamp(): alert.last_value,
    }
    times = sorted(points)
    return times, [points[at] for at in times]


def _chart(alert: Alert, trace: SeriesTrace, live: str) -> dict[str, Any]:
    marks = [
        (alert.started_at, "first bad sample", "warn"),
        (alert.fired_at, "fired", "bad"),
        (alert.acknowledged_at, "acknowledged", "idle"),
        (alert.resolved_at, "resolved", "ok"),
    ]
    # With `for` at 0 the first bad sample is the one that fired.
    events = [
        {"at": at.timestamp(), "label": label, "tone": tone}
        for at, label, tone in marks
        if at is not None and not (label == "first bad sample" and at == alert.fired_at)
    ]
    series: dict[str, Any] = {"label": alert.metric_name, "values": list(trace.values), "tone": 1}
    if alert.is_open and timezone.now().timestamp() - trace.times[-1] < 3600:
        series["live"] = live
    return {
        "times": list(trace.times),
        "series": [series],
        "format": unit_of(alert.metric_name).style,
        "thresholds": [{"value": alert.threshold, "label": f"fires {alert.operator}", "tone": "bad"}],
        "events": events,
        "window_s": 7200,
        "legend": True,
    }


def _shown(alert: Alert) -> tuple[float, float]:
    """The stretch of a chart: the alert with as much before and behind it, two minutes at least."""
    began, ended = alert.started_at.timestamp(), (alert.resolved_at or alert.last_sample_at).timestamp()
    margin = max(120.0, ended - began)
    return began - margin, ended + margin if alert.resolved_at else math.inf


def _note(samples: int, left_out: int, window: RecordWindow) -> str:
    text = f"{samples} sample{'' if samples == 1 else 's'} from {len(window.records):,} records around it"
    if not window.is_whole:
        text += ", cut short"
    if left_out:
        text += f"; {left_out} more than an hour away are left out"
    return f"{text}."


def _record(record: Record, metric: Metric) -> dict[str, Any]:
    now = timezone.now()
    time = event_time(
        metric.timestamp,
        sent=sent_at(written_at(record), now=now),
        now=now,
        window=timedelta(seconds=settings.GDS_WAREHOUSE.window_seconds),
    )
    return {
        "key": one_line(record.key()),
        "value": record.value(),
        "written_ms": stamp_ms(record),
        "time_told": time.told,
    }


def _other(trace: SeriesTrace) -> dict[str, Any]:
    unit = unit_of(trace.metric_name)
    step = max(1, len(trace.values) // 80)
    moved = trace.moved
    return {
        "metric_name": trace.metric_name,
        "values": list(trace.values[::step]),
        "newest": trace.values[-1],
        "style": unit.style,
        "symbol": unit.symbol,
        "has_moved": moved is not None and moved >= MOVED,
        "verdict": _verdict(moved),
    }


def _verdict(moved: float | None) -> str:
    if moved is None:
        return "too little before it to say"
    return "moved with it" if moved >= MOVED else "as usual"
