"""Numbers, sizes and times as text, the same way on every page and in `static/js/format.js`.

Pure. `None` is a value nobody knows and becomes `UNKNOWN`; it is never written as zero.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Context, Decimal

UNKNOWN = "unknown"
_THOUSANDS = ("", " k", " M", " G", " T", " P")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
# From here on digits tell nothing that an exponent doesn't.
_HUGE = 1e21
_MANY_DAYS = 1000


def short_number(value: float | None) -> str:
    """`950`, `1.2 k`, `34.5 k`, `1.2 M`: digits that tell the size; `1.2e+18` beyond the units."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    size, power = abs(value), 0
    # 999.95 would be written as "1000.0": it is the next power already.
    while size >= 999.5 and power < len(_THOUSANDS) - 1:
        size /= 1000
        power += 1
    if size >= 999.5:
        return _two_digits(value)
    return _signed(value, f"{_digits(size)}{_THOUSANDS[power]}")


def exact_number(value: float | None) -> str:
    """`1,234,567` or `85.5`: the digits, grouped, four after the point; `5e-7` and `1e+21` beyond that."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if 0 < abs(value) < 0.0001 or abs(value) >= _HUGE:
        mantissa, _, exponent = f"{Decimal(repr(float(value))).normalize():e}".partition("e")
        return f"{mantissa}e{int(exponent):+d}"
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{_rounded(value, 4):,f}".rstrip("0").rstrip(".")


def plural(count: int, noun: str, *, several: str = "") -> str:
    """`1 rule`, `2,500 rules`; `several` is the noun's plural where it isn't made with an s."""
    return f"{count:,} {noun if count == 1 else several or noun + 's'}"


def rate(value: float | None) -> str:
    """A number a second: `1.2 k/s`."""
    text = short_number(value)
    return text if text == UNKNOWN else f"{text}/s"


def percent(share: float | None) -> str:
    """A share between 0 and 1 as `12.5 %`."""
    if share is None or not math.isfinite(share):
        return UNKNOWN
    size = abs(share * 100)
    return _signed(share, f"{_digits(size) if size < 1e6 else short_number(size)} %")


def byte_size(count: float | None) -> str:
    """Bytes in powers of 1024: `1.5 MiB`."""
    if count is None or not math.isfinite(count):
        return UNKNOWN
    size, power = abs(float(count)), 0
    while size >= 1023.5 and power < len(_BINARY) - 1:
        size /= 1024
        power += 1
    if size >= 1023.5:
        return f"{_two_digits(count)} B"
    return _signed(count, f"{_digits(size)} {_BINARY[power]}")


def duration(seconds: float | None) -> str:
    """`450 ms`, `12 s`, `3 m 20 s`, `2 h 5 m`, `3 d 4 h`: the two largest units; `1,234 d`."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    if seconds < 0:
        return _signed(seconds, duration(-seconds))
    if seconds < 0.9995:
        return f"{_rounded(seconds * 1000, 0)} ms"
    if seconds < 9.95:
        return f"{_digits(seconds)} s"
    whole = float(math.floor(seconds)) + (seconds % 1 >= 0.5)
    for large, small, size, step in (("d", "h", 86400, 3600), ("h", "m", 3600, 60), ("m", "s", 60, 1)):
        if whole >= size:
            count, rest = _times(whole, size), _times(whole % size, step)
            head = f"{exact_number(count)} {large}"
            return f"{head} {rest:.0f} {small}" if rest and count < _MANY_DAYS else head
    return f"{whole:.0f} s"


def age(seconds: float | None) -> str:
    """`now`, `12 s ago`, `3 m ago`, `2 d ago`; a time ahead is `in 3 m`."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    size = abs(seconds)
    if size < 1.5:
        return "now"
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if size >= length:
            text = f"{exact_number(_times(size, length))} {unit}"
            return f"{text} ago" if seconds > 0 else f"in {text}"
    return "now"


def clock(at: datetime, *, millis: bool = False) -> str:
    """The absolute time, in UTC, to the second: `2026-01-15 10:30:00 UTC`; `millis` for a record's time."""
    utc = at.astimezone(UTC).replace(tzinfo=None)
    return f"{utc.isoformat(' ', 'milliseconds' if millis else 'seconds')} UTC"


def _digits(size: float) -> str:
    """At most one digit after the point, two below one; none where they are zeros."""
    places = 0 if size >= 99.95 else 1 if size >= 0.995 or size == 0 else 2
    text = str(_rounded(size, places))
    return text.rstrip("0").rstrip(".") if places else text


def _rounded(size: float, places: int) -> Decimal:
    """Halves away from zero, as JavaScript's `toFixed` and every reader has it, and not to the even digit."""
    return Decimal(size).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def _two_digits(value: float) -> str:
    return f"{Context(prec=2, rounding=ROUND_HALF_UP).create_decimal(value):.1e}"


def _signed(value: float, text: str) -> str:
    """With a minus where it is below zero, and isn't written as zero."""
    return f"-{text}" if value < 0 and any(one in "123456789" for one in text) else text


def _times(size: float, length: int) -> float:
    """How many times the length goes into it: the steps of format.js, which has nothing but floats."""
    return math.floor((size - size % length) / length)
