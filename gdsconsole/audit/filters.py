"""Which entries are shown: the page's address and the command's options mean the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import django_filters
from django.db.models import Q, QuerySet

from gdsconsole.audit.models import ACCESS, AuditEntry, Outcome
from gdsconsole.web.filters import Problems
from gdsconsole.web.moments import MomentFilter

# What is acted upon: the first part of an action, its name on pages and its icon.
AREAS: Mapping[str, tuple[str, str]] = {
    "pipeline": ("Pipelines", "workflow"),
    "alert": ("Alerts", "bell"),
    "rule": ("Rules", "sliders-horizontal"),
    "topic": ("Topics", "layers"),
    "dead-letter": ("Dead letters", "inbox"),
    "payload": ("Payloads", "eye"),
    ACCESS: ("Access", "shield"),
}


class AuditFilter(Problems, django_filters.FilterSet):  # type: ignore[misc]  # untyped library
    actor = django_filters.CharFilter()
    action = django_filters.CharFilter(method="by_action")
    target = django_filters.CharFilter()
    outcome = django_filters.ChoiceFilter(choices=Outcome.choices)
    since = MomentFilter(field_name="at", lookup_expr="gte")
    until = MomentFilter(field_name="at", lookup_expr="lte")
    q = django_filters.CharFilter(method="by_text")

    class Meta:
        model = AuditEntry
        fields: list[str] = []

    def by_action(self, entries: QuerySet[AuditEntry], name: str, value: str) -> QuerySet[AuditEntry]:
        """One action (`pipeline.pause`), or all of an area (`pipeline`)."""
        return (
            entries.filter(action=value) if "." in value else entries.filter(action__startswith=f"{value}.")
        )

    def by_text(self, entries: QuerySet[AuditEntry], name: str, value: str) -> QuerySet[AuditEntry]:
        return entries.filter(
            Q(sentence__icontains=value) | Q(actor__icontains=value) | Q(reason__icontains=value)
        )


def filtered(data: Mapping[str, Any], entries: QuerySet[AuditEntry]) -> AuditFilter:
    """The filter over these entries. Check `problems` before `qs`."""
    return AuditFilter(data, queryset=entries)
