from __future__ import annotations

import pytest

from gdsconsole.kafka.browsing.record_times import RecordTime
from gdsconsole.kafka.cluster.groups import LogRange
from lag.group_readings import PartitionReading, aged, measure
from lag.models import Method


@pytest.mark.parametrize(
    ("committed", "log", "end", "lag", "lost"),
    [
        pytest.param(70, LogRange(0, 100, 100), 100, 30, 0, id="behind"),
        pytest.param(100, LogRange(0, 100, 100), 100, 0, 0, id="caught up"),
        pytest.param(20, LogRange(50, 100, 100), 100, 50, 30, id="retention deleted 30 unread"),
        pytest.param(20, LogRange(100, 100, 100), 100, 0, 80, id="retention deleted all of it"),
        pytest.param(70, LogRange(0, 90, 100), 90, 20, 0, id="an open transaction holds 10 back"),
        pytest.param(90, LogRange(0, 90, 100), 90, 0, 0, id="waits for an open transaction"),
        pytest.param(95, LogRange(0, 90, 100), 100, 5, 0, id="reads uncommitted"),
        pytest.param(None, LogRange(0, 0, 0), 0, 0, 0, id="an empty log needs no commit"),
        pytest.param(None, LogRange(80, 80, 80), 80, 0, 0, id="an emptied log needs none either"),
    ],
)
def test_lag_of_a_partition(committed: int | None, log: LogRange, end: int, lag: int, lost: int) -> None:
    assert measure(committed, log)[:3] == (end, lag, lost)


def test_without_a_commit_the_reset_policies_say_what_it_may_be() -> None:
    end, lag, lost, reason = measure(None, LogRange(50, 1_284, 1_284))
    assert (end, lag, lost) == (1_284, None, None)
    assert reason == "no commit: 0 behind by auto.offset.reset=latest, 1,234 by earliest"


def test_a_commit_beyond_the_log_is_not_caught_up() -> None:
    """The topic was made anew, or its log cut: `max(0, ...)` alone would hide it."""
    end, lag, lost, reason = measure(1_000, LogRange(0, 5, 5))
    assert (end, lag, lost) == (5, None, None)
    assert reason == "committed 1,000 is beyond the log's end 5: the group will be reset"


def test_a_partition_that_was_not_read_says_why() -> None:
    assert measure(10, LogRange(None, None, None, error="no leader")) == (None, None, None, "no leader")


def test_what_an_open_transaction_holds_back_is_told() -> None:
    assert measure(70, LogRange(0, 90, 100))[3] == "10 more wait for open transactions"
    assert measure(95, LogRange(0, 90, 100))[3] == ""


def reading(lag: int | None) -> PartitionReading:
    return PartitionReading("t", "id", 0, 70, 70 + (lag or 0), 0, lag, 0, True)


def test_age_is_that_of_the_record_at_the_commit() -> None:
    found = aged(reading(30), RecordTime(written_at=1_000.0), at=1_012.5)
    assert (found.lag, found.age_s, found.method) == (30, 12.5, Method.RECORD)


def test_a_producer_ahead_of_our_clock_makes_no_negative_age() -> None:
    assert aged(reading(30), RecordTime(written_at=1_000.0), at=990.0).age_s == 0.0


def test_an_age_by_a_clock_that_is_far_ahead_is_unknown_and_not_zero() -> None:
    """Microseconds written as milliseconds: the record is of the year 58,000."""
    found = aged(reading(30), RecordTime(written_at=1_768_473_000_123.0), at=1_768_473_100.0)
    assert (found.lag, found.age_s, found.method) == (30, None, None)
    assert (
        found.reason == "the next record's time, 1768473000123000 ms, lies ahead of ours: its age is unknown"
    )


def test_a_tail_of_markers_is_no_lag() -> None:
    found = aged(reading(3), RecordTime(written_at=None), at=1_000.0)
    assert (found.lag, found.age_s, found.method) == (0, 0.0, Method.MARKERS)


def test_nothing_unread_has_no_age() -> None:
    found = aged(reading(0), None, at=1_000.0)
    assert (found.age_s, found.method) == (0.0, Method.CAUGHT_UP)


@pytest.mark.parametrize(
    ("lag", "oldest"), [(30, None), (30, RecordTime(written_at=-0.001)), (None, RecordTime(written_at=5.0))]
)
def test_an_unknown_age_stays_unknown(lag: int | None, oldest: RecordTime | None) -> None:
    found = aged(reading(lag), oldest, at=1_000.0)
    assert (found.lag, found.age_s, found.method) == (lag, None, None)
