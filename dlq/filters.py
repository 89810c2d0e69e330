"""Which dead letters a list shows: the page's URL and the command's `--filter` mean the same."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import Q, QuerySet

from dlq.models import OPEN_STATES, DeadLetter, DeadLetterState
from gdsconsole.web.filters import Problems
from gdsconsole.web.moments import MomentFilter

OPEN = "open"
ANY = "all"
STATE_CHOICES = [
    (OPEN, "Open"),
    *DeadLetterState.choices,
    (ANY, "All"),
]
SORTS = {
    "last_failed_at": "last_failed_at",
    "first_failed_at": "first_failed_at",
    "error_type": "error_type",
    "key": "key",
    "topic": "topic",
    "attempts": "attempts",
    "replay_count": "replays",
    "state": "state",
}


class DeadLetterFilter(Problems, django_filters.FilterSet):  # type: ignore[misc]  # untyped library
    """Without a `state`, letters of every state pass; the page asks for `open` by default."""

    state = django_filters.ChoiceFilter(choices=STATE_CHOICES, method="by_state")
    cause = django_filters.CharFilter(field_name="cause")
    topic = django_filters.CharFilter(field_name="topic")
    group = django_filters.CharFilter(field_name="group")
    error_type = django_filters.CharFilter(field_name="error_type")
    since = MomentFilter(field_name="last_failed_at", lookup_expr="gte")
    until = MomentFilter(field_name="last_failed_at", lookup_expr="lte")
    q = django_filters.CharFilter(method="by_text")
    sort = django_filters.OrderingFilter(fields=SORTS)

    class Meta:
        model = DeadLetter
        fields: list[str] = []

    def by_state(self, letters: QuerySet[DeadLetter], name: str, value: str) -> QuerySet[DeadLetter]:
        if value == ANY:
            return letters
        if value == OPEN:
            return letters.filter(state__in=OPEN_STATES)
        return letters.filter(state=value)

    def by_text(self, letters: QuerySet[DeadLetter], name: str, value: str) -> QuerySet[DeadLetter]:
        """In the error, or exactly the key, the id or the topic."""
        found = Q(error__icontains=value) | Q(key=value.encode("utf-8", "replace")) | Q(topic=value)
        if value.isascii() and value.isdigit() and len(value) < 19:
            found |= Q(pk=int(value))
        return letters.filter(found)

    def filter_queryset(self, queryset: QuerySet[DeadLetter]) -> QuerySet[DeadLetter]:
        """Newest first, and in one order however many letters failed at the same time."""
        letters: QuerySet[DeadLetter] = super().filter_queryset(queryset)
        order = [str(term) for term in letters.query.order_by] or ["-last_failed_at"]
        return letters.order_by(*order, "-pk")


def filter_names() -> list[str]:
    return [name for name in DeadLetterFilter.base_filters if name != "sort"]


def filtered(data: Any, letters: QuerySet[DeadLetter] | None = None) -> DeadLetterFilter:
    """The filter over all letters, without their payloads. Check `problems` before `qs`."""
    base = DeadLetter.objects.without_payload() if letters is None else letters
    return DeadLetterFilter(data, queryset=base)
