"""The log as a page shows it: a page of it by number, and its sentences."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Q, QuerySet

from gdsconsole.audit.filters import AREAS
from gdsconsole.audit.models import AuditEntry, Outcome
from gdsconsole.audit.payload_views import VIEW
from gdsconsole.audit.verification import broken

DAY = timedelta(days=1)
CHANGES_SHOWN = 6
# A page of this console: two slashes would begin another one's address.
_LOCAL = re.compile(r"/(?![/\\])")


@dataclass(frozen=True, slots=True)
class Slice:
    """Entries, the newest first. `newer` and `older` are the numbers to go on from; None: that is all."""

    entries: tuple[AuditEntry, ...]
    newer: int | None
    older: int | None


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field as it was and as it is now; None: it had, or has, no value."""

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Row:
    """One entry. Its sentence is `before`, the link to `target`, `after`."""

    entry: AuditEntry
    icon: str
    before: str
    target: str
    after: str
    changes: tuple[FieldChange, ...]
    more: int
    """Changes that aren't shown."""
    is_broken: bool

    @property
    def reason(self) -> str:
        """What somebody gave as theirs, or why it was refused."""
        return f"“{self.entry.reason}”" if self.entry.outcome == Outcome.DONE else self.entry.reason


def slice_of(
    entries: QuerySet[AuditEntry], *, size: int, before: int | None = None, after: int | None = None
) -> Slice:
    """The `size` entries before or after a number; without one, the newest.

    By number and not by count, so that a page stays what it was while entries are added.
    """
    if after is not None:
        found = list(entries.filter(number__gt=after).order_by("number")[: size + 1])
        more, shown = len(found) > size, tuple(reversed(found[:size]))
        # A last page that isn't full is the first one: it takes from the other side what it lacks.
        if not more:
            return slice_of(entries, size=size)
        return Slice(shown, newer=shown[0].number, older=shown[-1].number)
    if before is not None:
        entries = entries.filter(number__lt=before)
    found = list(entries.order_by("-number")[: size + 1])
    shown = tuple(found[:size])
    return Slice(
        shown,
        newer=shown[0].number if before is not None and shown else None,
        older=shown[-1].number if len(found) > size else None,
    )


def rows_of(entries: tuple[AuditEntry, ...]) -> list[Row]:
    wrong = broken(entries)
    return [_row(entry, is_broken=entry.number in wrong) for entry in entries]


def headline(entries: QuerySet[AuditEntry], *, now: datetime) -> str:
    """The last day in one sentence. Who looked at a payload did nothing to it."""
    day = (
        entries.filter(at__gt=now - DAY)
        .exclude(action=VIEW)
        .aggregate(
            people=Count("actor", distinct=True, filter=Q(outcome=Outcome.DONE)),
            done=Count("number", filter=Q(outcome=Outcome.DONE)),
            refused=Count("number", filter=Q(outcome=Outcome.REFUSED)),
            failed=Count("number", filter=Q(outcome=Outcome.FAILED)),
        )
    )
    return headline_of(day)


def headline_of(day: Mapping[str, int]) -> str:
    """Pure. `people` did `done`; `refused` and `failed` are attempts."""
    if not any(day.values()):
        return "Nobody did anything in the last 24 hours."
    people = "One person did" if day["people"] == 1 else f"{day['people']} people did"
    told = [f"{people} {_counted(day['done'], 'thing')}"] if day["done"] else ["Nobody did anything"]
    if day["refused"]:
        told.append(
            f"{_counted(day['refused'], 'attempt')} {'was' if day['refused'] == 1 else 'were'} refused"
        )
    if day["failed"]:
        told.append(f"{day['failed']:,} failed")
    return f"{', '.join(told)} in the last 24 hours."


def _counted(count: int, noun: str) -> str:
    return f"one {noun}" if count == 1 else f"{count:,} {noun}s"


def _row(entry: AuditEntry, *, is_broken: bool) -> Row:
    before, target, after = entry.sentence, "", ""
    if entry.target and _LOCAL.match(entry.target_url):
        found, target, rest = entry.sentence.partition(entry.target)
        before, after = (found, rest) if target else (entry.sentence, "")
    changes = [
        FieldChange(name.replace("_", " "), _text(old), _text(new))
        for name, (old, new) in entry.changes.items()
        # What the sentence says already, and what says nothing.
        if {_text(old), _text(new)} - {None, entry.target}
    ]
    return Row(
        entry=entry,
        icon=AREAS.get(entry.area, ("", "circle-dot"))[1],
        before=before,
        target=target,
        after=after,
        changes=tuple(changes[:CHANGES_SHOWN]),
        more=len(changes) - len(changes[:CHANGES_SHOWN]) + entry.more_changes,
        is_broken=is_broken,
    )


def _text(value: Any) -> str | None:
    """A value in a line of changes; what says nothing is None."""
    if value in (None, "", "{}", "[]"):
        return None
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.15g}" if isinstance(value, int | float) else str(value)
