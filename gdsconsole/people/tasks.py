"""What beat sends for accounts."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from gdsconsole.people import lockout, sessions


@shared_task(name="people.forget_sessions", ignore_result=True, time_limit=60)
def forget_sessions() -> int:
    """Delete sessions that are over, and other leftovers of signing in."""
    now = timezone.now()
    return sessions.forget_sessions(now=now) + lockout.forget(now=now)
