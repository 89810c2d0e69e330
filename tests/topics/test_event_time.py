"""When a sample counts whose own time is far from when it was sent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from topics.event_time import WINDOW, event_time, sent_at

NOW = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)
SENT = NOW - timedelta(seconds=2)


@pytest.mark.parametrize(
    ("measured", "counts_at"),
    [
        (SENT - timedelta(minutes=59), SENT - timedelta(minutes=59)),
        (SENT + timedelta(seconds=1), SENT + timedelta(seconds=1)),
        # A clock that is ahead by less than the window: not later than now, or every later sample looks late.
        (SENT + timedelta(minutes=10), NOW),
        (SENT - timedelta(hours=2), SENT),
        (SENT + timedelta(days=365), SENT),
        (datetime(1970, 1, 1, tzinfo=UTC), SENT),
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))), SENT),
        (datetime(9999, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-12))), SENT),
    ],
)
def test_a_time_counts_within_the_window_of_when_it_was_sent(measured: datetime, counts_at: datetime) -> None:
    found = event_time(measured, sent=SENT, now=NOW, window=WINDOW)
    assert found.at == counts_at
    assert bool(found.told) is (abs(measured - SENT) > WINDOW)


def test_what_is_not_believed_is_told_as_it_was_written() -> None:
    found = event_time(datetime(1970, 1, 1, tzinfo=UTC), sent=SENT, now=NOW, window=WINDOW)
    assert found.told.startswith("its own time, 1970-01-01 00:00:00+00:00, is 20,468 d before it was sent")


def test_a_backlog_of_days_counts_when_it_was_measured() -> None:
    days_ago = NOW - timedelta(days=6)
    assert event_time(days_ago, sent=days_ago, now=NOW, window=WINDOW).at == days_ago


@pytest.mark.parametrize(
    ("written", "counts_at"),
    [
        (SENT, SENT),
        (NOW - timedelta(days=700), NOW - timedelta(days=700)),
        # A broken clock stamps the record too; a record may have no time, or one that is no date.
        (datetime(1970, 1, 1, 0, 5, tzinfo=UTC), NOW),
        (NOW + timedelta(hours=25), NOW),
        (None, NOW),
    ],
)
def test_a_records_time_is_believed_where_it_can_be(written: datetime | None, counts_at: datetime) -> None:
    assert sent_at(written, now=NOW) == counts_at
