"""Durations as people type them: `90s`, `15m`, `2h`, `7d`."""

from __future__ import annotations

import argparse
import re
from datetime import timedelta

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_PATTERN = re.compile(r"(\d+(?:\.\d+)?)([smhdw])", re.ASCII)
LONGEST = timedelta(days=36_500)


class WrongDuration(ValueError):
    """A text that is no duration; the message shows it, and what one looks like."""


def parse_duration(text: str) -> timedelta:
    """A number and its unit, above zero and at most a hundred years. Raises `WrongDuration`."""
    found = _PATTERN.fullmatch(text.strip())
    if found is not None:
        try:
            duration = timedelta(**{_UNITS[found[2]]: float(found[1])})
        except OverflowError:
            duration = LONGEST + timedelta(days=1)
        if timedelta(0) < duration <= LONGEST:
            return duration
    raise WrongDuration(f"a duration such as 90s, 15m, 2h or 7d, not {text!r}")


def duration(text: str) -> timedelta:
    """`parse_duration` as the type of a command's argument."""
    try:
        return parse_duration(text)
    except WrongDuration as error:
        raise argparse.ArgumentTypeError(str(error)) from error
