"""What beat sends for the log."""

from __future__ import annotations

import logging

from celery import shared_task
from django.utils import timezone

from gdsconsole.audit import attempts, services, verification_status
from gdsconsole.database.reporting import outages_logged

log = logging.getLogger(__name__)


@shared_task(name="audit.tell_counts", ignore_result=True, time_limit=60)
def tell_counts() -> int:
    """Refused attempts that were counted become entries."""
    return attempts.tell_counts(now=timezone.now())


@shared_task(name="audit.anchor", ignore_result=True, time_limit=60)
def anchor() -> None:
    """What a process that was killed committed and didn't anchor."""
    with outages_logged(log, "the audit log's head is anchored at the next tick"):
        services.anchor_head(now=timezone.now())


@shared_task(name="audit.verify", ignore_result=True, time_limit=300)
def verify() -> None:
    """The page tells what this found."""
    with outages_logged(log, "the audit log is verified at the next tick"):
        verification_status.watch(now=timezone.now())
