"""How long a session lasts, and what is seen of its use. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

# A session's use is written down this often at most.
SEEN_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Limits:
    """`most` from the sign-in on, `idle` from the last use on."""

    most: timedelta
    idle: timedelta


def is_over(created_at: datetime, seen_at: datetime, *, limits: Limits, now: datetime) -> bool:
    return now - created_at >= limits.most or now - seen_at >= limits.idle


def seen_every(limits: Limits) -> timedelta:
    """Often enough that somebody who works is never idle."""
    return min(SEEN_EVERY, limits.idle / 4)


def is_use(*, method: str | None, is_htmx: bool) -> bool:
    """Whether a request is somebody's doing; an open page reads its parts again by itself, for ever."""
    return not (is_htmx and method in ("GET", "HEAD"))
