"""Argument types of the commands."""

from __future__ import annotations

import argparse
import math


def at_least_one(text: str) -> int:
    """A count from 1."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1, not {text!r}")
    return number


def seconds(text: str) -> float:
    """A duration above 0."""
    number = _number(text)
    if not number > 0:
        raise argparse.ArgumentTypeError(f"a number of seconds above 0, not {text!r}")
    return number


def rate(text: str) -> float:
    """Something a second, above 0."""
    number = _number(text)
    if not number > 0:
        raise argparse.ArgumentTypeError(f"a number a second above 0, not {text!r}")
    return number


def share(text: str) -> float:
    """A ratio from 0 to 1."""
    number = _number(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"a ratio from 0 to 1, not {text!r}")
    return number


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan
