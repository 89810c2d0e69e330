"""Entries for the tests of the log."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from gdsconsole.audit import anchors, chain, keys, triggers
from gdsconsole.audit.models import AuditEntry, AuditHead
from gdsconsole.audit.services import record
from gdsconsole.audit.verification import Verification, verify

COLUMNS = (
    "number, at, actor, action, sentence, target, target_url, reason, outcome, details, previous, digest, key"
)
ROW = "%s, '2026-01-15 10:30:00', 'nobody', 'a.b', 'x', '', '', '', 'done', '', '', '', ''"
NOW = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)


def make_entry(**changes: Any) -> AuditEntry:
    fields: dict[str, Any] = {
        "actor": "operator",
        "action": "pipeline.pause",
        "sentence": "paused pipeline alerting",
        "target": "alerting",
        "target_url": "/pipelines/#pipeline-alerting",
        "now": NOW,
    }
    with transaction.atomic():
        return record(**fields | changes)


def make_chain(count: int = 6) -> list[AuditEntry]:
    """So many entries, each anchored as its commit would."""
    made = [make_entry(sentence=f"paused pipeline p{number}") for number in range(1, count + 1)]
    for entry in made:
        anchors.append(number=entry.number, digest=entry.digest, now=NOW)
    return made


def chain_anew(*, first: int = 1, actor: str = "nobody", secret: str | None = None) -> None:
    """Rewrite the log from an entry on, so that it holds in itself: sealed with the key of `secret`."""
    key = keys.derived(secret) if secret else keys.ring().current
    with triggers.lifted(connection), connection.cursor() as cursor:
        before = AuditEntry.objects.filter(number=first - 1).first()
        previous = before.digest if before else chain.START
        for entry in AuditEntry.objects.filter(number__gte=first).order_by("number"):
            entry.actor, entry.previous, entry.key = actor, previous, key.id
            previous = entry.computed_digest(key.secret)
            cursor.execute(
                "UPDATE audit_auditentry SET actor = %s, previous = %s, digest = %s, key = %s"
                " WHERE number = %s",
                [entry.actor, entry.previous, previous, entry.key, entry.number],
            )
        cursor.execute("UPDATE audit_audithead SET digest = %s", [previous])


def tamper(sql: str, *parameters: Any) -> None:
    """As somebody who owns the database could: without the triggers, which are back afterwards."""
    with triggers.lifted(connection), connection.cursor() as cursor:
        cursor.execute(sql, parameters)


def run(sql: str, *parameters: Any) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, parameters)


def told(verdict: Verification | None = None) -> list[str]:
    verdict = verdict or verify()
    return [f"{one.number} {one.what}" if one.number else one.what for one in verdict.problems]


def drop_trigger(name: str) -> None:
    of = {"sqlite": "", "postgresql": f" ON audit_audit{name.split('_')[1]}"}
    run(f"DROP TRIGGER {name}{of[connection.vendor]}")


def refuses(statements: Iterable[str]) -> None:
    """Each is refused by a trigger, and leaves the six entries as they are."""
    for sql in statements:
        with pytest.raises(DatabaseError, match="append-only"):
            run(sql)
    assert (AuditEntry.objects.count(), AuditHead.objects.get().number) == (6, 6)
    assert verify().is_intact
