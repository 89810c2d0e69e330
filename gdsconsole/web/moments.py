"""A time in an address or an option: absolute, or how long ago."""

from __future__ import annotations

from datetime import UTC, datetime

import django_filters
from django import forms
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from gdsconsole.text.durations import WrongDuration, parse_duration
from gdsconsole.text.times import without_leap_second


class MomentField(forms.CharField):
    """A time as ISO 8601 (UTC where it has no offset), or as an age: `15m`, `24h`, `7d`."""

    def to_python(self, value: str | None) -> datetime | None:  # type: ignore[override]
        text = super().to_python(value)
        if not text:
            return None
        try:
            return timezone.now() - parse_duration(text)
        except WrongDuration:
            pass
        try:
            # A plus sign that wasn't encoded in a URL comes as a space.
            moment = parse_datetime(without_leap_second(text.replace(" ", "+") if "T" in text else text))
            # At the ends of the calendar an offset leads out of it.
            moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC) if moment else None
        except (ValueError, OverflowError):
            moment = None
        if moment is None:
            raise forms.ValidationError(
                f"{text!r} is neither a time such as 2026-01-15T10:30:00Z nor an age such as 24h"
            )
        return moment


class MomentFilter(django_filters.Filter):  # type: ignore[misc]  # untyped library
    field_class = MomentField
