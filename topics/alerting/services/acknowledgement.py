"""Somebody sees to an alert: said once, with its event and its audit entry."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import transaction

from gdsconsole.audit import services as audit
from topics.alerting.services.alerts import announce
from topics.models import Alert, AlertEvent, EventState

if TYPE_CHECKING:
    from django.contrib.auth.models import User


class NotAcknowledgeable(Exception):
    """The alert is not open, or is acknowledged already; the message says which."""


def acknowledge_alert(
    *, alert: Alert, actor: User, now: datetime, note: str = "", asked_by: str = ""
) -> AlertEvent:
    """Record that `actor` sees to the alert. Raises `NotAcknowledgeable` when it is closed or acknowledged.

    `asked_by` is who says so, where it isn't the actor: whoever runs the command.
    """
    with transaction.atomic():
        stored = Alert.objects.open().filter(pk=alert.pk, acknowledged_at=None)
        if not stored.update(acknowledged_by=actor, acknowledged_at=now):
            alert.refresh_from_db()
            if not alert.is_open:
                raise NotAcknowledgeable(
                    f"alert {alert.pk} is {alert.state}: only an open one can be acknowledged"
                )
            acknowledged_at = f"{alert.acknowledged_at:%H:%M:%S} UTC"
            raise NotAcknowledgeable(
                f"alert {alert.pk} was acknowledged by {alert.acknowledged_by} at {acknowledged_at}"
            )
        alert.refresh_from_db()
        event = AlertEvent.objects.create(
            alert=alert,
            state=EventState.ACKNOWLEDGED,
            value=alert.last_value,
            at=now,
            actor=actor,
            reason=note,
        )
        announce([alert])
        audit.record(
            actor=asked_by or actor.get_username(),
            action="alert.acknowledge",
            sentence=f"acknowledged alert {alert.pk}{f' for {actor}' if asked_by else ''}: {alert.summary}",
            now=now,
            target=f"alert {alert.pk}",
            target_url=alert.get_absolute_url(),
            reason=note,
        )
    return event


def acknowledge_alerts(*, ids: Sequence[int], actor: User, now: datetime) -> int:
    """Acknowledge those of these alerts that are open and not acknowledged; returns how many that were."""
    acknowledged = 0
    for alert in Alert.objects.open().filter(pk__in=ids, acknowledged_at=None).select_related("rule"):
        try:
            acknowledge_alert(alert=alert, actor=actor, now=now)
        except NotAcknowledgeable:
            continue  # somebody was faster
        acknowledged += 1
    return acknowledged
