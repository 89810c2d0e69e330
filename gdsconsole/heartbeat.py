"""A mark that beat and a worker leave together: beat sends the task, a process of a worker runs it.

`readiness` looks at its age. Asking the workers directly would take a broadcast and a second each time.
What each worker says of itself is in `gdsconsole.workers.marks`.
"""

from __future__ import annotations

import logging
import math
import time
from functools import cache

import redis
from celery import shared_task
from django.conf import settings

from gdsconsole.live import schemas
from gdsconsole.redis_clients import redis_client

log = logging.getLogger(__name__)

EVERY_S = 2.0
KEY = "gds:heartbeat"


@shared_task(name="gdsconsole.heartbeat", ignore_result=True, time_limit=30)
def heartbeat() -> None:
    try:
        _client(settings.REDIS_URL).set(KEY, repr(time.time()), ex=3600)
    except redis.RedisError as error:
        log.warning("no mark is left: %s", error)


def age_s(*, now: float) -> float | None:
    """Seconds since the last mark; None when there is none that can be read. Raises redis.RedisError."""
    try:
        marked = _client(settings.REDIS_URL).get(KEY)
        return None if marked is None else max(0.0, now - _moment(str(marked)))
    except (ValueError, redis.ResponseError) as error:
        # The next mark, in two seconds, takes its place.
        schemas.told.unreadable(KEY, error)
        return None


def _moment(text: str) -> float:
    """The mark's time. Raises ValueError."""
    at = float(text)
    if not math.isfinite(at):
        raise ValueError(f"{text} is no time")
    return at


@cache
def _client(url: str) -> redis.Redis:
    return redis_client(url=url, timeout_s=2, decode_responses=True)
