"""Whether the log is what was written: every link of the chain, its head, its triggers and its anchor.

What was found is a problem; what can't be known is told beside it, and no log of which that is so is intact.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from django.db import connection

from gdsconsole.audit import anchors, chain, keys, triggers
from gdsconsole.audit.anchors import Anchor, Anchors
from gdsconsole.audit.models import AuditEntry, AuditHead

PROBLEMS_SHOWN = 20
# So many of the newest entries may be without an anchor: a process may end between commit and anchor.
ANCHOR_BEHIND = 20
_CHUNK = 1_000

VerificationState = Literal["intact", "tampered", "unknown"]


@dataclass(frozen=True, slots=True)
class Problem:
    """`number` is the entry's; None where it is the whole log's."""

    number: int | None
    what: str

    @property
    def sentence(self) -> str:
        if self.number is None:
            return self.what
        # What is about other entries is told of this one's place.
        colon = ":" if self.what.startswith("entr") else ""
        return f"entry {self.number}{colon} {self.what}"


@dataclass(frozen=True, slots=True)
class Verification:
    """`digest` is the newest entry's: noted down elsewhere, it shows later that nothing was rewritten.

    `unknown` says what could not be checked, and why. `anchored` is the number of the newest anchor.
    """

    entries: int
    number: int
    digest: str
    problems: tuple[Problem, ...]
    unknown: tuple[str, ...] = ()
    anchored: int | None = None

    @property
    def state(self) -> VerificationState:
        if self.problems:
            return "tampered"
        return "unknown" if self.unknown else "intact"

    @property
    def is_intact(self) -> bool:
        return self.state == "intact"


@dataclass(slots=True)
class ChainWalk:
    """Goes along the chain, entry by entry. Pure: what it compares with is given."""

    ring: keys.Ring
    anchored: dict[int, list[Anchor]]
    number: int = 0
    digest: str = chain.START
    entries: int = 0
    problems: list[Problem] = field(default_factory=list)
    without_key: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, entry: AuditEntry) -> None:
        if problem := self._problem_of(entry):
            self.problems.append(Problem(entry.number, problem))
        self.entries, self.number, self.digest = self.entries + 1, entry.number, entry.digest

    def _problem_of(self, entry: AuditEntry) -> str:
        if entry.number != self.number + 1:
            return f"{_numbers(self.number + 1, entry.number - 1)} missing before it"
        if entry.previous != self.digest:
            return "does not follow the entry before it"
        for anchor in self.anchored.get(entry.number, ()):
            if anchor.digest != entry.digest:
                return f"is not the entry that was anchored at {_time(anchor.at)}"
        if not entry.key:
            return "is not sealed with any key"
        key = self.ring.known.get(entry.key)
        if key is None:
            first, _ = self.without_key.get(entry.key, (entry.number, 0))
            self.without_key[entry.key] = (first, entry.number)
        elif not chain.is_same(entry.digest, entry.computed_digest(key.secret)):
            return "was changed after it was written"
        return ""


def verify(*, noted: tuple[int, str] | None = None) -> Verification:
    """Go through the whole chain. `noted` is a number and digest that were written down earlier.

    Entries that are added meanwhile are left to the next time. At most `PROBLEMS_SHOWN` are told.
    """
    ring = keys.read_again()
    # Before the entries: what is anchored now was committed, so it has to be among them.
    kept = anchors.read()
    newest = AuditEntry.objects.order_by("-number").values_list("number", flat=True).first() or 0
    # Read after the entries: it moves with them, so it can't be behind what was there.
    stored = AuditHead.objects.first()
    head = stored or AuditHead()
    walk = ChainWalk(ring, _by_number(kept.found or ()))
    walk.problems += [Problem(None, fault) for fault in triggers.faults(connection)]
    walk.problems += _of_anchors(kept.found or ())
    seen = noted is None
    last = head.number if stored else newest
    for entry in AuditEntry.objects.filter(number__lte=last).order_by("number").iterator(chunk_size=_CHUNK):
        walk.add(entry)
        seen = seen or (entry.number, entry.digest) == noted
        if len(walk.problems) >= PROBLEMS_SHOWN:
            break
    else:
        walk.problems += _of_end(walk, head, stored is not None, newest, kept)
        if noted is not None and not seen:
            walk.problems.append(Problem(noted[0], f"does not have the digest that was noted, {noted[1]}"))
    return Verification(
        entries=walk.entries,
        number=last,
        digest=head.digest if stored else walk.digest,
        problems=tuple(walk.problems[:PROBLEMS_SHOWN]),
        unknown=(*_unknown_keys(walk), *_unknown_anchors(kept, last)),
        anchored=kept.found[-1].number if kept.found else None,
    )


def broken(entries: Iterable[AuditEntry]) -> set[int]:
    """The numbers of those that aren't what was written: by their own digest, and by the one before."""
    shown = list(entries)
    known = keys.ring().known
    before = {entry.number - 1 for entry in shown} - {0}
    digests = dict(AuditEntry.objects.filter(number__in=before).values_list("number", "digest"))
    return {
        entry.number
        for entry in shown
        if not entry.key
        or (entry.key in known and entry.digest != entry.computed_digest(known[entry.key].secret))
        or entry.previous != (digests.get(entry.number - 1) if entry.number > 1 else chain.START)
    }


def _of_end(walk: ChainWalk, head: AuditHead, has_head: bool, newest: int, kept: Anchors) -> list[Problem]:
    """What the head and the anchor say of the chain's end."""
    found = []
    top = max((anchor for anchor in kept.found or ()), key=lambda one: one.number, default=None)
    last = max(head.number, top.number if top is not None else 0)
    if last > max(walk.number, newest):
        emptied = "" if walk.entries else "the log was emptied: "
        known = f", the anchor of {_time(top.at)} knows of them" if top and top.number > walk.number else ""
        found.append(Problem(None, f"{emptied}{_numbers(walk.number + 1, last)} cut off{known}"))
    if not has_head and newest:
        found.append(Problem(None, "the chain's head is missing"))
    if has_head and newest > head.number:
        found.append(Problem(head.number + 1, "was added behind the chain's head"))
    if has_head and walk.number == head.number and walk.digest != head.digest:
        found.append(Problem(walk.number, "is not the one that the chain's head names"))
    return found


def _of_anchors(found: Sequence[Anchor]) -> list[Problem]:
    forged = [anchor.number for anchor in found if anchor.is_ours is False]
    if not forged:
        return []
    return [Problem(None, f"the anchor of entry {forged[0]} is not the console's own: its file was changed")]


def _unknown_keys(walk: ChainWalk) -> list[str]:
    told = [
        f"whether entries {first} to {last} were changed: the key {key}, which sealed them, is not here"
        for key, (first, last) in walk.without_key.items()
    ]
    if walk.ring.unread:
        told.append(f"the keys in {walk.ring.unread} unreadable lines of {keys.directory() / keys.FILE}")
    return told


def _unknown_anchors(kept: Anchors, last: int) -> list[str]:
    if kept.error:
        return [f"whether the log is the one that was anchored: {kept.error}"]
    if not kept.found:
        return [
            "whether entries were cut off at the end, or all of them replaced: there is no anchor in "
            f"{anchors.path_of_log()}"
        ]
    told = []
    top = max(anchor.number for anchor in kept.found)
    if last - top > ANCHOR_BEHIND:
        told.append(
            f"whether entries behind {last} were cut off: the newest anchor is of entry {top}, "
            f"{last - top} entries ago"
        )
    if kept.unread:
        told.append(f"what {kept.unread} unreadable lines of {anchors.path_of_log()} said")
    others = sum(anchor.is_ours is None for anchor in kept.found)
    if others:
        told.append(f"whether {others} anchors are the console's own: their key is not here")
    return told


def _by_number(found: Sequence[Anchor]) -> dict[int, list[Anchor]]:
    by_number: dict[int, list[Anchor]] = {}
    for anchor in found:
        if anchor.is_ours is not False:
            by_number.setdefault(anchor.number, []).append(anchor)
    return by_number


def _numbers(first: int, last: int) -> str:
    return f"entry {first} is" if first == last else f"entries {first} to {last} are"


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}Z"
