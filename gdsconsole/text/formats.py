"""Numbers, sizes and times as text, the same way on every page and in `static/js/format.js`.

Pure. `None` is a value nobody knows and becomes `UNKNOWN`; it is never written as zero.
"""

from __future__ import annotations

import math
from datetime import datetime

UNKNOWN = "unknown"
_THOUSANDS = ("", " k", " M", " G", " T", " P")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def short_number(value: float | None) -> str:
    """`950`, `1.2 k`, `34.5 k`, `1.2 M`: three or so digits that tell the size."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    size, power = abs(value), 0
    # 999.95 would be written as "1000.0": it is the next power already.
    while size >= 999.5 and power < len(_THOUSANDS) - 1:
        size /= 1000
        power += 1
    sign = "-" if value < 0 else ""
    return f"{sign}{_digits(size)}{_THOUSANDS[power]}"


def exact_number(value: float | None) -> str:
    """`1,234,567` or `85.5`: all the digits, grouped."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.4f}".rstrip("0")


def plural(count: int, noun: str, *, several: str = "") -> str:
    """`1 rule`, `2,500 rules`; `several` is the noun's plural where it isn't made with an s."""
    return f"{count:,} {noun if count == 1 else several or noun + 's'}"


def rate(value: float | None) -> str:
    """A number a second: `1.2 k/s`."""
    return UNKNOWN if value is None else f"{short_number(value)}/s"


def percent(share: float | None) -> str:
    """A share between 0 and 1 as `12.5 %`."""
    return UNKNOWN if share is None else f"{_digits(share * 100)} %"


def byte_size(count: float | None) -> str:
    """Bytes in powers of 1024: `1.5 MiB`."""
    if count is None:
        return UNKNOWN
    size, power = float(count), 0
    while size >= 1023.5 and power < len(_BINARY) - 1:
        size /= 1024
        power += 1
    return f"{_digits(size)} {_BINARY[power]}"


def duration(seconds: float | None) -> str:
    """`450 ms`, `12 s`, `3 m 20 s`, `2 h 5 m`, `3 d 4 h`: the two largest units."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    if seconds < 0:
        return f"-{duration(-seconds)}"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{_digits(seconds)} s"
    whole = round(seconds)
    for large, small, size, step in (("d", "h", 86400, 3600), ("h", "m", 3600, 60), ("m", "s", 60, 1)):
        if whole >= size:
            rest = whole % size // step
            return f"{whole // size} {large} {rest} {small}" if rest else f"{whole // size} {large}"
    return f"{whole} s"


def age(seconds: float | None) -> str:
    """`now`, `12 s ago`, `3 m ago`, `2 d ago`; a time ahead is `in 3 m`."""
    if seconds is None:
        return UNKNOWN
    size = abs(seconds)
    if size < 1.5:
        return "now"
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if size >= length:
            text = f"{int(size // length)} {unit}"
            return f"{text} ago" if seconds > 0 else f"in {text}"
    return "now"


def clock(at: datetime, *, millis: bool = False) -> str:
    """The absolute time, in UTC, to the second: `2026-01-15 10:30:00 UTC`; `millis` for a record's time."""
    seconds = at.replace(tzinfo=None).isoformat(" ", "milliseconds" if millis else "seconds")
    return f"{seconds} UTC"


def _digits(size: float) -> str:
    """At most one digit after the point, two below one; none where they are zeros."""
    places = 0 if size >= 99.95 else 1 if size >= 0.995 or size == 0 else 2
    text = f"{size:.{places}f}"
    return text.rstrip("0").rstrip(".") if places else text
