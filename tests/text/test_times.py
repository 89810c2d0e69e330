from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gdsconsole.templatetags.console import stamp
from gdsconsole.text.times import from_millis, likely_unit, without_leap_second

MOMENT = datetime(2026, 1, 15, 10, 30, 0, 123_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("millis", "at"),
    [
        (None, None),
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (1_768_473_000_123, MOMENT),
        (253_402_300_799_999, datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)),
        (253_402_300_800_000, None),
        (2**63 - 1, None),
    ],
)
def test_milliseconds_as_a_date_where_a_calendar_has_it(millis: int | None, at: datetime | None) -> None:
    assert from_millis(millis) == at


def test_the_unit_that_was_likely_meant() -> None:
    assert likely_unit(1_768_473_000_123_456) == ("microseconds", MOMENT)
    assert likely_unit(1_768_473_000_123_456_789) == ("nanoseconds", MOMENT)
    assert likely_unit(2**63 - 1) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.999999Z"),
        ("2016-12-31T23:59:60.25Z", "2016-12-31T23:59:59.999999Z"),
        ("2016-12-31t23:59:60z", "2016-12-31t23:59:59.999999z"),
        ("2016-12-31 23:59:60", "2016-12-31 23:59:59.999999"),
        ("2017-01-01T05:29:60+05:30", "2017-01-01T05:29:59.999999+05:30"),
        ("2016-12-31T15:59:60-08:00", "2016-12-31T15:59:59.999999-08:00"),
        # The second that is counted twice is the last of a day in UTC: these are mistakes.
        ("2016-12-31T23:59:60+01:00", "2016-12-31T23:59:60+01:00"),
        ("2016-12-31T10:30:60Z", "2016-12-31T10:30:60Z"),
        ("2016-12-31T23:59:61Z", "2016-12-31T23:59:61Z"),
        ("60", "60"),
    ],
)
def test_a_leap_second_is_the_end_of_the_second_before(text: str, said: str) -> None:
    assert without_leap_second(text) == said


def test_a_records_time_has_its_milliseconds() -> None:
    assert stamp(1_768_473_000_123) == (
        '<time datetime="2026-01-15T10:30:00.123+00:00" data-clock="ms" class="stamp">'
        "2026-01-15 10:30:00.123 UTC</time>"
    )
    assert "1970-01-01 00:00:00.000 UTC" in stamp(0)
    assert "unknown" in stamp(None)


@pytest.mark.parametrize(
    ("millis", "mark", "title"),
    [
        (
            1_768_473_000_123_456,
            "no date: microseconds?",
            "in microseconds it would be 2026-01-15 10:30:00.123 UTC",
        ),
        (2**63 - 1, "no date", "no calendar has it"),
    ],
)
def test_a_time_that_is_no_date_is_shown_raw_and_marked(millis: int, mark: str, title: str) -> None:
    shown = stamp(millis)
    assert f">{millis}<" in shown
    assert f"{mark}</span>" in shown
    assert title in shown
