"""What beat sends for the log."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from gdsconsole.audit import attempts


@shared_task(name="audit.tell_counts", ignore_result=True, time_limit=60)
def tell_counts() -> int:
    """Refused attempts that were counted become entries."""
    return attempts.tell_counts(now=timezone.now())
