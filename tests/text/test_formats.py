"""The server's formats; tests/browser/test_formats.py runs the table through static/js/format.js."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

import pytest

from gdsconsole.text import formats
from tests.text.format_table import TABLE

NUMBERS: dict[str, Callable[[float | None], str]] = {
    "short": formats.short_number,
    "exact": formats.exact_number,
    "rate": formats.rate,
    "percent": formats.percent,
    "bytes": formats.byte_size,
    "duration": formats.duration,
    "age": formats.age,
}
CLOCKS: dict[str, Callable[[datetime], str]] = {
    "clock": formats.clock,
    "clock_ms": partial(formats.clock, millis=True),
}


@pytest.mark.parametrize(("name", "value", "text"), TABLE)
def test_what_is_written_of_a_value(name: str, value: Any, text: str) -> None:
    if name in CLOCKS:
        assert CLOCKS[name](datetime.fromisoformat(value)) == text
    else:
        assert NUMBERS[name](float(value) if isinstance(value, str) else value) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 rules"), (1, "1 rule"), (2500, "2,500 rules")])
def test_a_noun_agrees_with_its_count(count: int, text: str) -> None:
    assert formats.plural(count, "rule") == text
