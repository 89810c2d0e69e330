"""Times as others write them: milliseconds of a record, RFC 3339 with its leap seconds. Pure.

Anybody may write any 64 bits as a record's time. What is no date stays the number it is, and is shown so.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A time that is no date as milliseconds may be one in a smaller unit, which is the usual mistake.
_SMALLER_UNITS = (("microseconds", 1_000), ("nanoseconds", 1_000_000))
_PLAUSIBLE = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC))
_LEAP = re.compile(
    r"(?P<until>.*[Tt ](?P<hour>\d\d):(?P<minute>\d\d):)60(?:\.\d+)?(?P<zone>[Zz]|[+-]\d\d:?\d\d|)"
)
_END_OF_MINUTE = "59.999999"


def from_millis(millis: int | None) -> datetime | None:
    """The date; None where there is none, also for a number that no calendar reaches."""
    try:
        return None if millis is None else _EPOCH + timedelta(milliseconds=millis)
    except OverflowError:
        return None


def to_millis(at: datetime) -> int:
    """Milliseconds since the epoch, rounded down."""
    return (at - _EPOCH) // timedelta(milliseconds=1)


def likely_unit(millis: int) -> tuple[str, datetime] | None:
    """For milliseconds that are no date: the unit that was likely meant, and the date that it gives."""
    for unit, per_millisecond in _SMALLER_UNITS:
        at = from_millis(millis // per_millisecond)
        if at is not None and _PLAUSIBLE[0] <= at < _PLAUSIBLE[1]:
            return unit, at
    return None


def without_leap_second(text: str) -> str:
    """An RFC 3339 time whose second is 60, as the last instant of second 59; any other text as it is.

    The second that clocks may have once more is the last of a day in UTC, whatever the zone it is
    written in: at any other minute, 60 is a mistake and stays one.
    """
    found = _LEAP.fullmatch(text)
    if found is None:
        return text
    zone = found["zone"].replace(":", "")
    east = 0
    if zone not in {"", "Z", "z"}:
        east = (int(zone[1:3]) * 60 + int(zone[3:5])) * (-1 if zone[0] == "-" else 1)
    minute = (int(found["hour"]) * 60 + int(found["minute"]) - east) % (24 * 60)
    return f"{found['until']}{_END_OF_MINUTE}{found['zone']}" if minute == 24 * 60 - 1 else text
