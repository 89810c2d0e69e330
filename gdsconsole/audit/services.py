"""Adding to the log. `record` runs in the transaction of the deed: there is no deed without its entry."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any

from django.db import IntegrityError, transaction

from gdsconsole.audit import anchors, keys, triggers
from gdsconsole.audit.models import ACCESS, AuditEntry, AuditHead, Outcome
from gdsconsole.live.publish import publish_on_commit

log = logging.getLogger(__name__)

EVENT = "audit.recorded"
MAX_ACTOR = 160
MAX_SENTENCE = 500
MAX_VALUE = 300
MAX_CHANGES = 50
_ACTION = re.compile(r"[a-z][a-z-]*\.[a-z][a-z:_-]*")

Changes = Mapping[str, tuple[Any, Any]]


def record(
    *,
    actor: str,
    action: str,
    sentence: str,
    now: datetime,
    target: str = "",
    target_url: str = "",
    reason: str = "",
    outcome: Outcome = Outcome.DONE,
    changes: Changes | None = None,
) -> AuditEntry:
    """Add one entry, inside the caller's transaction; call it last there, because the head stays locked.

    `sentence` goes on from the actor's name ("paused pipeline alerting") and holds `target` as it is
    written there. `changes` are (before, after) by field. Texts that are too long are cut.
    """
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError("an audit entry is written in its deed's transaction")
    if _ACTION.fullmatch(action) is None:
        raise ValueError(f"action: {action!r} is not area.verb")
    head = _head()
    key = keys.ring().current
    entry = AuditEntry(
        number=head.number + 1,
        at=now.astimezone(UTC),
        actor=line(actor, MAX_ACTOR),
        action=action[:60],
        sentence=line(sentence, MAX_SENTENCE),
        target=line(target, 255),
        target_url=target_url[:300],
        reason=line(reason, 500),
        outcome=outcome,
        details=_details(changes),
        previous=head.digest,
        key=key.id,
    )
    entry.digest = entry.computed_digest(key.secret)
    entry.save(force_insert=True)
    grown = AuditHead.objects.filter(pk=1, number=head.number, digest=head.digest)
    if not grown.update(number=entry.number, digest=entry.digest):
        raise IntegrityError(f"audit entry {entry.number} was added by someone else at the same time")
    publish_on_commit(EVENT, "newest", {"number": entry.number})
    transaction.on_commit(partial(anchors.append, number=entry.number, digest=entry.digest, now=now))
    return entry


def _head() -> AuditHead:
    """The chain's head, locked until the commit. One that is missing is made from the newest entry: that
    it was taken away is `verifying`'s to find, and no deed should fail for it."""
    found = AuditHead.objects.select_for_update().first()
    if found is None:
        newest: Any = AuditEntry.objects.order_by("-number").values("number", "digest").first() or {}
        found, _ = AuditHead.objects.select_for_update().get_or_create(pk=1, defaults=newest)
    return found


def mend_triggers(*, actor: str, reason: str, now: datetime) -> list[str]:
    """Make the triggers again; returns what was wrong with them. What was added beside them stays, told."""
    connection = transaction.get_connection()
    with transaction.atomic():
        faults = triggers.faults(connection)
        if faults:
            triggers.drop(connection)
            triggers.create(connection)
            record(
                actor=actor,
                action=f"{ACCESS}.mend-triggers",
                sentence="made the audit log's triggers again",
                now=now,
                reason=reason,
                changes={f"fault {number}": (fault, None) for number, fault in enumerate(faults, 1)},
            )
    return faults


def anchor_head(*, now: datetime) -> bool:
    """Anchor the chain's head where no commit did: of a log that is new here, or after a process was killed.

    A log that isn't the one that was anchored gets no new anchor, which would only say that all is well.
    """
    head = AuditHead.objects.first() or AuditHead()
    last = anchors.newest()
    if last is not None:
        if head.number <= last.number:
            return False
        if last.number and not AuditEntry.objects.filter(number=last.number, digest=last.digest).exists():
            log.error("the audit log is not the one that was anchored: `manage.py audit verify` says more")
            return False
    return anchors.append(number=head.number, digest=head.digest, now=now)


def changes_between(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The fields of `after` whose value is another one in `before`."""
    return {name: (before.get(name), value) for name, value in after.items() if before.get(name) != value}


def _details(changes: Changes | None) -> str:
    if not changes:
        return ""
    kept = {
        name: [_value(before), _value(after)]
        for name, (before, after) in islice(changes.items(), MAX_CHANGES)
    }
    more = {"more": len(changes) - MAX_CHANGES} if len(changes) > MAX_CHANGES else {}
    return json.dumps({"changes": kept, **more}, ensure_ascii=True)


def _value(value: Any) -> Any:
    """As JSON knows it, and short."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else json.dumps(value, default=str, sort_keys=True)
    return line(text, MAX_VALUE)


def line(text: str, limit: int) -> str:
    """One printable line of at most so many characters."""
    line = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
