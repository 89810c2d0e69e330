"""Which fields of a rule or a definition people edit: what the audit log tells of a change."""

from __future__ import annotations

from typing import Any

from topics.models import AlertRule, TopicDefinition


def edited(row: AlertRule | TopicDefinition | None) -> dict[str, Any]:
    """The values of its editable fields; nothing for a row that isn't there yet.

    The id and the times are the console's own, and what was applied is the cluster's.
    """
    if row is None:
        return {}
    fields = (field for field in row._meta.concrete_fields if field.name not in _NOT_EDITED)
    return {field.name: getattr(row, field.attname) for field in fields}


_NOT_EDITED = {"id", "created_at", "updated_at", "last_applied", "applied_at"}
