"""Refused attempts: entries up to a rate, and beyond it counted by name and told as numbers.

Attempts are cheap to make and an entry is for good, so only some are entries of their own. Of the others the
log says how many there were: when they reach 20, 50, 100, 200 and so on, and once a minute what is left.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import DatabaseError, transaction
from django.db.models import F, Q

from gdsconsole.audit.models import AuditEntry, Outcome, RefusalCount
from gdsconsole.audit.services import line, record
from gdsconsole.database.busy_timeout import waiting_at_most

log = logging.getLogger(__name__)

WINDOW = timedelta(minutes=1)
# So many of a window are entries of their own.
REFUSED_OF_ONE = 10
REFUSED_IN_ALL = 60
FIRST_MARK = 20
# A flood of attempts must not queue up for SQLite's writer: what can't be noted in time is added to the next.
LONGEST_WAIT_MS = 250

_Key = tuple[str, str]
_unnoted: Counter[_Key] = Counter()
_noting = threading.Lock()


@dataclass(frozen=True, slots=True)
class Kin:
    """Which attempts are the same one: their entries, the name they are counted by and what that says."""

    name: str
    entries: Q
    sentence: str


def record_refusal(
    *,
    actor: str,
    action: str,
    sentence: str,
    now: datetime,
    target: str = "",
    reason: str = "",
    kin: Kin | None = None,
) -> AuditEntry | None:
    """Add a refused attempt in a transaction of its own; None where it was counted, because this minute has
    enough entries of its `kin`. Without one, these are the same actor's attempts at anything.
    """
    actor = line(actor, 160)
    kin = kin or Kin(actor, Q(actor=actor), "tried what they may not")
    recent = AuditEntry.objects.filter(outcome=Outcome.REFUSED, at__gt=now - WINDOW, at__lte=now)
    of_one = recent.filter(kin.entries).count()
    in_all = recent.count()
    if of_one >= REFUSED_OF_ONE or in_all >= REFUSED_IN_ALL:
        _count(kin, actor=actor, action=action, target=target, now=now, recorded=of_one)
        return None
    if of_one == REFUSED_OF_ONE - 1 or in_all == REFUSED_IN_ALL - 1:
        reason = f"{reason}; more of them within a minute are counted".removeprefix("; ")
    with transaction.atomic():
        # While its kin are being counted this one is of their number.
        RefusalCount.objects.filter(action=action, name=kin.name).update(total=F("total") + 1)
        return record(
            actor=actor,
            action=action,
            sentence=sentence,
            now=now,
            target=target,
            reason=reason,
            outcome=Outcome.REFUSED,
        )


def is_mark(total: int) -> bool:
    """20, 50, 100, 200, 500 and so on."""
    text = str(total)
    return total >= FIRST_MARK and text[0] in "125" and set(text[1:]) <= {"0"}


def marks_between(before: int, after: int) -> bool:
    """Whether the count has reached a mark on its way."""
    return any(is_mark(total) for total in range(before + 1, after + 1))


def _count(kin: Kin, *, actor: str, action: str, target: str, now: datetime, recorded: int) -> None:
    """One more, beside the `recorded` ones that are entries. Never waits long, never fails."""
    key = (action, kin.name)
    with _noting:
        _unnoted[key] += 1
        number = _unnoted[key]
        try:
            with waiting_at_most(LONGEST_WAIT_MS), transaction.atomic():
                row, _ = RefusalCount.objects.select_for_update().get_or_create(
                    action=action,
                    name=kin.name,
                    defaults={"total": recorded, "waiting": 0, "since": now, "last_at": now},
                )
                if not row.waiting and row.last_at <= now - WINDOW:
                    row.total, row.since = recorded, now
                before = row.total
                row.total, row.waiting, row.last_at = before + number, row.waiting + number, now
                row.actor, row.sentence, row.target = actor, line(kin.sentence, 400), line(target, 255)
                row.save()
                if marks_between(before, row.total):
                    _tell(row, now)
            del _unnoted[key]
        except DatabaseError as error:
            log.warning("%d refused attempts of %s are not counted yet: %s", number, action, error)


def tell_counts(*, now: datetime) -> int:
    """What was counted and not told yet becomes an entry; a count that is over is forgotten. How many."""
    told = 0
    for row in RefusalCount.objects.all():
        with transaction.atomic():
            locked = RefusalCount.objects.select_for_update().filter(pk=row.pk).first()
            if locked is None:
                continue
            if locked.waiting:
                _tell(locked, now)
                told += 1
            elif locked.last_at <= now - WINDOW:
                locked.delete()
    return told


def _tell(row: RefusalCount, now: datetime) -> None:
    times = "once more" if row.waiting == 1 else f"{row.waiting:,} more times"
    since = f"since {row.since:%H:%M:%S} UTC"
    number, row.waiting = row.waiting, 0
    row.save(update_fields=["waiting"])
    record(
        actor=row.actor,
        action=row.action,
        sentence=f"{row.sentence}, {times}",
        target=row.target,
        reason=f"{row.total:,} in all {since}",
        now=now,
        outcome=Outcome.REFUSED,
        changes={"attempts": (None, number)},
    )
