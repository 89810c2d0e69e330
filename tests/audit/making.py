"""Entries for the tests of the log."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.db import connection, transaction

from gdsconsole.audit import triggers
from gdsconsole.audit.models import AuditEntry
from gdsconsole.audit.services import record

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


def tamper(sql: str, *parameters: Any) -> None:
    """As somebody who owns the database could: without the triggers, which are back afterwards."""
    with triggers.lifted(connection), connection.cursor() as cursor:
        cursor.execute(sql, parameters)
