"""Input that the database refuses, told as the field, the value and the rule.

The database says the rule and hardly ever the field, so the value that breaks the rule is looked for among
what was given. Where none of it does, the input is not to blame.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import DatabaseError

from gdsconsole.database.outages import chain, outage_of

SHOWN = 80
_SQLITE_INTEGER = 2**63
_WHOLE = re.compile(r"\s*[+-]?[0-9]{1,4300}\s*")


@dataclass(frozen=True, slots=True)
class Refusal:
    """`rule` has to hold, `breaks` says of a value that it doesn't; `field` is the column if it is known."""

    rule: str
    breaks: Callable[[object], bool]
    field: str = ""

    def told(self, given: Mapping[str, Any]) -> str | None:
        """`field: 'value' is refused: rule`, of the first of what was given that breaks it; None for none."""
        for name, value in _flat(given):
            if self.breaks(value) and (not self.field or self.field == name):
                return f"{name}: {shown(value)} is refused: {self.rule}"
        return None


def refusal_of(error: BaseException | None) -> Refusal | None:
    """The rule that some value broke; None for an outage, and for what is no refusal."""
    if outage_of(error) is not None:
        return None
    for one in chain(error):
        found = _refusal(one)
        if found is not None:
            return found
    return None


def shown(value: object) -> str:
    """A value as a message shows it: quoted, escaped, not longer than a line has room for."""
    text = str(value)
    if len(text) <= SHOWN:
        return ascii(text)
    return f"{text[:SHOWN]!a}… ({len(text):,} characters)"


def _refusal(error: BaseException) -> Refusal | None:
    text = str(error)
    if isinstance(error, UnicodeEncodeError):
        return Refusal("half of a surrogate pair is no character", _has_surrogate)
    if isinstance(error, OverflowError) and "SQLite INTEGER" in text:
        return _whole_number(_SQLITE_INTEGER)
    if not isinstance(error, DatabaseError):
        return None
    driver = error.__cause__
    state = getattr(driver, "sqlstate", None) or ""
    longest = re.search(r"value too long for type \D+\((\d+)\)", text)
    if longest is not None:
        return _at_most(int(longest[1]))
    if "NUL" in text or state in {"22021", "22P05"}:
        return Refusal("a NUL character (0x00) can't be stored", lambda value: "\0" in str(value))
    if state in _NO_MOMENT:
        return Refusal(
            "a time of the years 1 to 9999, in UTC", lambda value: _DATE.match(str(value)) is not None
        )
    if "out of range" in text and state.startswith("22"):
        bits = next((bits for name, bits in _BITS if name in text), 63)
        return _whole_number(2**bits)
    if state == "54000" or "too big" in text:
        return Refusal("it is too long to be stored or indexed", lambda value: len(str(value)) > 1_000)
    unique = re.search(r"UNIQUE constraint failed: (?:\w+\.)?(\w+)", text) or re.search(
        r"Key \(\"?(\w+)\"?\)=.* already exists", text
    )
    if unique is not None:
        return Refusal("there is one already", lambda value: True, field=unique[1])
    return None


# PostgreSQL's invalid format, overflow of a field, and displacement of the time zone.
_NO_MOMENT = frozenset({"22007", "22008", "22009"})
_DATE = re.compile(r"\s*[+-]?[0-9]{1,6}-[0-9]{1,2}-[0-9]{1,2}")
# A "smallint out of range" names its type; an "integer" is what a literal's own type overflows.
_BITS = (("smallint", 15), ("bigint", 63), ("integer", 31))


def _at_most(length: int) -> Refusal:
    return Refusal(f"at most {length:,} characters", lambda value: len(str(value)) > length)


def _whole_number(bound: int) -> Refusal:
    def breaks(value: object) -> bool:
        text = str(value)
        return _WHOLE.fullmatch(text) is not None and not -bound <= int(text) < bound

    return Refusal(f"a whole number from {-bound:,} to {bound - 1:,}", breaks)


def _has_surrogate(value: object) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in str(value))


def _flat(given: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    for name, value in given.items():
        for one in value if isinstance(value, (list, tuple)) else (value,):
            if one is not None and not isinstance(one, bool):
                yield name, one
