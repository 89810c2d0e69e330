from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django import forms
from django.utils import timezone

from gdsconsole.web.moments import MomentField


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-15T10:30:00Z", datetime(2026, 1, 15, 10, 30, tzinfo=UTC)),
        ("2026-01-15T10:30:00 02:00", datetime(2026, 1, 15, 8, 30, tzinfo=UTC)),
        ("2026-01-15 10:30", datetime(2026, 1, 15, 10, 30, tzinfo=UTC)),
        ("2026-01-15", datetime(2026, 1, 15, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2016, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
        ("2016-12-31T15:59:60-08:00", datetime(2016, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
    ],
)
def test_a_time(text: str, moment: datetime) -> None:
    assert MomentField().clean(text) == moment


@pytest.mark.parametrize(
    ("text", "age"), [("24h", timedelta(days=1)), ("1w", timedelta(days=7)), ("1.5m", timedelta(seconds=90))]
)
def test_an_age(text: str, age: timedelta) -> None:
    aged = MomentField().clean(text)
    assert timedelta(0) <= timezone.now() - age - aged < timedelta(minutes=1)


@pytest.mark.parametrize(
    "text", ["yesterday", "24", "2026-13-01", "-5m", "999999d", "0h", "2026-01-15T10:30:60Z"]
)
def test_what_is_neither_is_named(text: str) -> None:
    with pytest.raises(forms.ValidationError, match=f"'{text}' is neither a time"):
        MomentField().clean(text)
