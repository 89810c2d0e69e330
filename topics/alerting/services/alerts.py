"""Alerts as rows: opening, firing, resolving. Each change commits with its event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from gdsconsole.live.publish import publish_on_commit
from gdsconsole.text.names import NO_NAME
from topics.alerting.evaluation import Draft, Key, OpenAlert, OpenAlerts, Sample, Series
from topics.alerting.outbox import alert_changed
from topics.alerting.rules import Rule, SeriesState, Standing, fingerprint
from topics.models import Alert, AlertEvent, AlertRule, AlertState, EventState
from topics.telemetry import MAX_TAG_VALUE

# An event is left to whoever made it for this long; then the sweep sends it. Longer than a producer
# tries (`outbox.DELIVERY_TIMEOUT_MS`), so that only a dead sender's events are sent by another.
LEASE = timedelta(seconds=30)
MAX_REASON = 200
_RULE_FIELDS = (
    "id",
    "name",
    "source",
    "metric_name",
    "operator",
    "threshold",
    "for_s",
    "keep_firing_for_s",
    "severity",
    "database_type",
    "instance",
    "environment",
    "group_by_tags",
)


class AlertsMoved(Exception):
    """Someone else opened or closed one of these alerts meanwhile: read them again and judge anew."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """A value the console measured itself. `value` is None where it is unknown, which is not zero."""

    source: str  # a Source that is no metric
    name: str
    labels: dict[str, str]
    value: float | None
    at: datetime
    reason: str = ""  # what the alert that fires for it is told with


@dataclass(frozen=True, slots=True)
class StoredDrafts:
    """What storing drafts made: `ids` by the draft's position, and the events with their alerts."""

    ids: Mapping[int, int]
    events: Sequence[AlertEvent]
    changed: Sequence[Alert]


def rules_in_force(*sources: str) -> tuple[Rule, ...]:
    """The enabled rules of these sources, as plain values that compare equal when nothing was edited."""
    rows = AlertRule.objects.filter(enabled=True, source__in=sources).order_by("pk")
    return tuple(Rule(*row) for row in rows.values_list(*_RULE_FIELDS))


def open_alerts(*sources: str) -> dict[Key, OpenAlert]:
    """The stored open alerts of these sources, by series."""
    rows = Alert.objects.open().filter(rule__source__in=sources)
    return {
        (alert.rule_id, alert.fingerprint): OpenAlert(
            id=alert.pk,
            subject=alert.subject,
            metric_name=alert.metric_name,
            standing=Standing(
                SeriesState(alert.state), alert.started_at, alert.last_sample_at, alert.good_since
            ),
            last_value=alert.last_value,
            stored_at=alert.changed_at,
        )
        for alert in rows
    }


def store_drafts(
    *,
    drafts: Sequence[Draft],
    now: datetime,
    leased_until: datetime | None = None,
    in_transactions: bool = False,
) -> StoredDrafts:
    """Write what has an effect, with its events, inside the caller's transaction.

    `leased_until` keeps the events for the caller to send until then. `in_transactions` says that each
    will be sent in the Kafka transaction that commits its record's offset. Raises `AlertsMoved` when a row
    is no longer as the drafts assume; the caller's transaction must then roll back.
    """
    touched = {position: draft for position, draft in enumerate(drafts) if draft.has_effect}
    made = {position: draft for position, draft in touched.items() if draft.alert_id is None}
    moved = {draft.alert_id: position for position, draft in touched.items() if draft.alert_id is not None}
    # The old alert of a series is closed before its new one opens: only one may be open.
    for alert_id, position in moved.items():
        _move(alert_id, drafts[position], now)
    rules = AlertRule.objects.in_bulk({draft.first.series.rule.id for draft in made.values()})
    try:
        rows = Alert.objects.bulk_create([_new_row(draft, rules, now) for draft in made.values()])
    except (IntegrityError, KeyError) as error:
        raise AlertsMoved(f"an alert or a rule is not as it was: {error}") from error
    alerts = dict(zip(made, rows, strict=True))
    kept = [alert_id for alert_id, position in moved.items() if not drafts[position].is_dropped]
    for alert in Alert.objects.filter(pk__in=kept).select_related("rule"):
        alerts[moved[alert.pk]] = alert
    events = [
        AlertEvent(
            alert=alert,
            state=state,
            value=sample.known_value,
            at=sample.at,
            reason=sample.reason[:MAX_REASON] if state is EventState.FIRING else "",
            leased_until=leased_until,
            **(_source(sample) if in_transactions else {}),
        )
        for position, alert in sorted(alerts.items())
        for state, sample in (
            (EventState.FIRING, drafts[position].fired_by),
            (EventState.RESOLVED, drafts[position].resolved_by),
        )
        if sample is not None
    ]
    return StoredDrafts(
        ids={position: alert.pk for position, alert in alerts.items()},
        events=AlertEvent.objects.bulk_create(events),
        changed=[alerts[position] for position in sorted(alerts)],
    )


def _source(sample: Sample) -> dict[str, str | int | None]:
    found = sample.found
    return {
        "source_topic": found.topic if found else None,
        "source_partition": found.partition if found else None,
        "source_offset": found.offset if found else None,
    }


def _new_row(draft: Draft, rules: Mapping[int, AlertRule], now: datetime) -> Alert:
    series, rule = draft.first.series, draft.first.series.rule
    fields = _standing_fields(draft)
    return Alert(
        rule=rules[rule.id],
        fingerprint=series.key[1],
        labels=dict(series.labels),
        subject=series.subject,
        environment=series.labels.get("environment", ""),
        severity=rule.severity,
        metric_name=rule.metric_name,
        operator=rule.operator,
        threshold=rule.threshold,
        started_at=draft.standing.since,
        changed_at=now,
        **{"value": draft.first.known_value, **_found(draft.first), **fields},
    )


def _move(alert_id: int, draft: Draft, now: datetime) -> None:
    """Compare-and-set one stored alert to the draft's state."""
    stored = Alert.objects.filter(pk=alert_id, state=draft.stored_state)
    if draft.is_dropped:
        touched = stored.delete()[0]
    else:
        touched = stored.update(changed_at=now, **_standing_fields(draft))
    if not touched:
        raise AlertsMoved(f"alert {alert_id} is no longer {draft.stored_state}")


def _standing_fields(draft: Draft) -> dict[str, object]:
    fields: dict[str, object] = {
        "state": AlertState.RESOLVED if draft.resolved_by else AlertState(draft.standing.state),
        "last_value": draft.last.known_value,
        "last_sample_at": draft.standing.newest,
        "good_since": draft.standing.good_since,
    }
    if draft.fired_by is not None:
        fields |= {
            "fired_at": draft.fired_by.at,
            "value": draft.fired_by.known_value,
            **_found(draft.fired_by),
        }
    if draft.resolved_by is not None:
        fields |= {
            "resolved_at": draft.resolved_by.at,
            "last_sample_at": draft.resolved_by.at,
            "good_since": draft.standing.good_since or draft.resolved_by.at,
        }
    return fields


def _found(sample: Sample) -> dict[str, object]:
    found = sample.found
    if found is None:
        return {"topic": None, "partition": None, "offset": None}
    return {"topic": found.topic, "partition": found.partition, "offset": found.offset}


def refresh_alerts(*, alerts: Sequence[OpenAlert], now: datetime) -> bool:
    """Write the newest value and times of open alerts; False when one of them is not open any more."""
    rows = [
        Alert(
            pk=alert.id,
            last_value=alert.last_value,
            last_sample_at=alert.standing.newest,
            good_since=alert.standing.good_since,
        )
        for alert in alerts
    ]
    touched = Alert.objects.open().bulk_update(
        rows, ["last_value", "last_sample_at", "good_since"], batch_size=200
    )
    for alert in alerts:
        alert.stored_at, alert.is_dirty = now, False
    return touched == len(rows)


def resolve_quiet(*, alerts: Sequence[OpenAlert], now: datetime, leased_until: datetime) -> StoredDrafts:
    """Resolve firing alerts whose series stayed good; those no longer firing are passed over."""
    with transaction.atomic():
        resolved = [
            alert.id
            for alert in alerts
            if Alert.objects.firing()
            .filter(pk=alert.id)
            .update(
                state=AlertState.RESOLVED,
                resolved_at=now,
                changed_at=now,
                last_value=alert.last_value,
                last_sample_at=alert.standing.newest,
                good_since=alert.standing.good_since,
            )
        ]
        rows = list(Alert.objects.filter(pk__in=resolved).select_related("rule"))
        events = AlertEvent.objects.bulk_create(
            AlertEvent(
                alert=row, state=EventState.RESOLVED, value=row.last_value, at=now, leased_until=leased_until
            )
            for row in rows
        )
    return StoredDrafts({}, events, rows)


def record_measurements(samples: Sequence[Measurement], *, now: datetime) -> list[Alert]:
    """Judge values the console measured itself, by the rules of their sources.

    An unknown value neither fires nor resolves. Returns the alerts that changed. Two callers with the
    same samples open one alert: the second finds the first's row and judges again.
    """
    tries = 3
    while True:
        tries -= 1
        try:
            return _record(samples, now)
        except AlertsMoved:
            if not tries:
                raise


def _record(samples: Sequence[Measurement], now: datetime) -> list[Alert]:
    sources = sorted({sample.source for sample in samples})
    rules = rules_in_force(*sources)
    ledger = OpenAlerts(open_alerts(*sources))
    drafts = ledger.draft(
        Sample(
            Series(rule, subject_of(sample.labels), sample.labels),
            sample.value,
            min(sample.at, now),
            reason=sample.reason,
        )
        for sample in samples
        for rule in rules
        if (rule.source, rule.metric_name) == (sample.source, sample.name)
        and rule.covers(subject=subject_of(sample.labels), labels=sample.labels)
    )
    with_effect = [draft for draft in drafts if draft.has_effect]
    stored = StoredDrafts({}, [], [])
    # Without an effect there is no transaction, so a quiet console leaves the database's writer alone.
    if with_effect:
        with transaction.atomic():
            stored = store_drafts(drafts=with_effect, now=now)
            announce(stored.changed)
    still_open = [draft for draft in drafts if not draft.has_effect and draft.alert_id is not None]
    if still_open:
        ledger.accept(still_open, {}, now)
        refresh_alerts(alerts=[ledger.alerts[draft.key] for draft in still_open], now=now)
    return list(stored.changed)


def subject_of(labels: Mapping[str, str]) -> str:
    """What an alert with these labels is about: its instance, group or broker, else the cluster."""
    for name in ("instance_id", "group", "broker", "topic"):
        if name in labels:
            return labels[name][:MAX_TAG_VALUE] or NO_NAME
    return "cluster"


def resolve_series(*, source: str, labels: Mapping[str, str], reason: str, now: datetime) -> list[Alert]:
    """Resolve the open alerts of a series that is no more, such as a consumer group that was deleted."""
    found = Alert.objects.open().filter(rule__source=source, fingerprint=fingerprint(labels))
    return [alert for row in found.select_related("rule") for alert in resolve_alert(row, reason, now)]


def rule_of(row: AlertRule) -> Rule:
    """The rule as the pure parts know it."""
    return Rule(*(getattr(row, name) for name in _RULE_FIELDS))


def resolve_alert(alert: Alert, reason: str, now: datetime) -> list[Alert]:
    """End an open alert that no sample will end; nothing where it has moved meanwhile."""
    with transaction.atomic():
        stored = Alert.objects.filter(pk=alert.pk, state=alert.state)
        if alert.state == AlertState.PENDING:
            stored.delete()
            return []
        if not stored.update(
            state=AlertState.RESOLVED, resolved_at=now, changed_at=now, resolved_reason=reason
        ):
            return []
        alert.refresh_from_db()
        AlertEvent.objects.create(
            alert=alert, state=EventState.RESOLVED, value=alert.last_value, at=now, reason=reason
        )
        announce([alert])
    return [alert]


def announce(alerts: Sequence[Alert]) -> None:
    """Tell open pages, once the transaction has committed."""
    for alert in alerts:
        publish_on_commit("alert.changed", str(alert.pk), alert_changed(alert))
