"""Whether the log is what was written: every link of the chain, its head and the triggers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import connection

from gdsconsole.audit import chain, triggers
from gdsconsole.audit.models import AuditEntry, AuditHead

PROBLEMS_SHOWN = 20
_CHUNK = 1_000


@dataclass(frozen=True, slots=True)
class Problem:
    """`number` is the entry's; None where it is the whole log's."""

    number: int | None
    what: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """`digest` is the newest entry's: noted down elsewhere, it shows later that nothing was rewritten."""

    entries: int
    number: int
    digest: str
    problems: tuple[Problem, ...]

    @property
    def is_intact(self) -> bool:
        return not self.problems


def verify(*, noted: tuple[int, str] | None = None) -> Verdict:
    """Go through the whole chain. `noted` is a number and digest that were written down earlier.

    Entries that are added meanwhile are left to the next time. At most `PROBLEMS_SHOWN` are told.
    """
    newest = AuditEntry.objects.order_by("-number").values_list("number", flat=True).first() or 0
    # Read after the entries: it moves with them, so it can't be behind what was there.
    head = AuditHead.objects.filter(pk=1).first() or AuditHead()
    problems = [Problem(None, f"the trigger {name} is missing") for name in triggers.missing(connection)]
    number, digest, entries = 0, chain.START, 0
    seen = noted is None
    rows = AuditEntry.objects.filter(number__lte=head.number).order_by("number")
    for entry in rows.iterator(chunk_size=_CHUNK):
        problems += _of_one(entry, number, digest)
        entries, number, digest = entries + 1, entry.number, entry.digest
        seen = seen or (entry.number, entry.digest) == noted
        if len(problems) >= PROBLEMS_SHOWN:
            break
    else:
        if number < head.number:
            problems.append(Problem(None, f"entries {number + 1} to {head.number} were cut off"))
    if len(problems) < PROBLEMS_SHOWN:
        if newest > head.number:
            problems.append(Problem(head.number + 1, "was added behind the chain's head"))
        if number == head.number and digest != head.digest:
            problems.append(Problem(number, "is not the one that the chain's head names"))
        if noted is not None and not seen:
            problems.append(Problem(noted[0], f"does not have the digest that was noted, {noted[1]}"))
    return Verdict(entries, head.number, head.digest, tuple(problems[:PROBLEMS_SHOWN]))


def broken(entries: Iterable[AuditEntry]) -> set[int]:
    """The numbers of those that aren't what was written: by their own digest, and by the one before."""
    shown = list(entries)
    before = {entry.number - 1 for entry in shown} - {0}
    digests = dict(AuditEntry.objects.filter(number__in=before).values_list("number", "digest"))
    return {
        entry.number
        for entry in shown
        if entry.digest != entry.computed_digest()
        or entry.previous != (digests.get(entry.number - 1) if entry.number > 1 else chain.START)
    }


def _of_one(entry: AuditEntry, number: int, digest: str) -> list[Problem]:
    if entry.number != number + 1:
        gone = (
            f"entry {number + 1} is"
            if entry.number == number + 2
            else f"entries {number + 1} to {entry.number - 1} are"
        )
        return [Problem(entry.number, f"{gone} missing before it")]
    if entry.previous != digest:
        return [Problem(entry.number, "does not follow the entry before it")]
    if entry.digest != entry.computed_digest():
        return [Problem(entry.number, "was changed after it was written")]
    return []
