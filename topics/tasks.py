"""Beat's way to the services of this app."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from topics import services
from topics.outbox import EventSender, sweep

_sender = EventSender()  # connects at its first event, inside the worker's child


@shared_task(name="topics.publish_alert_events", time_limit=60)
def publish_alert_events() -> int:
    """Send what no pipeline sent, and close alerts whose rule no longer watches them."""
    now = timezone.now()
    services.resolve_uncovered(now=now)
    return sweep(sender=_sender, now=now, lease=services.LEASE)
