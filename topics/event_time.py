"""When a sample counts. Pure.

At the time it says it was measured, as long as that is within the window of when its record was sent; else at
the time it was sent, which is told. A sender whose clock is wrong is neither silent nor of another decade,
and `for` goes by times that really passed. Alerting, the newest values and analytics go by this;
the warehouse keeps the time as it was written, beside when the point was stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from gdsconsole.text import formats

WINDOW = timedelta(hours=1)
# A record that says it is older, or that much ahead, was stamped by a broken clock too.
OLDEST_SENT = timedelta(days=3_650)
FURTHEST_AHEAD = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class EventTime:
    """`told` says why it is not the sample's own time; empty where it is."""

    at: datetime
    told: str = ""


def sent_at(written: datetime | None, *, now: datetime) -> datetime:
    """When a record was sent, by the time it carries where that can be; else it is taken for new."""
    if written is None or not now - OLDEST_SENT <= written <= now + FURTHEST_AHEAD:
        return now
    return written


def event_time(measured: datetime, *, sent: datetime, now: datetime, window: timedelta) -> EventTime:
    """`sent` as `sent_at` tells it. Never later than `now`: each later sample would look late."""
    off = measured - sent
    if abs(off) <= window:
        return EventTime(min(measured, now))
    side = "before" if off < timedelta(0) else "after"
    distance = formats.duration(abs(off).total_seconds())
    told = (
        f"its own time, {_written(measured)}, is {distance} {side} it was sent: the time it was sent counts"
    )
    return EventTime(min(sent, now), told)


def _written(at: datetime) -> str:
    """Without a conversion, which the first and the last year of the calendar don't all survive."""
    return at.isoformat(sep=" ", timespec="seconds")
