"""Which groups the list shows, and in which order; all of it lives in the address."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import Case, F, IntegerField, QuerySet, Value, When

from gdsconsole.web.filters import Problems
from lag.headlines import BEHIND
from lag.models import GroupSample, Status

ALL, IS_BEHIND = "all", "behind"
STATUS_CHOICES = [
    (ALL, "All"),
    (IS_BEHIND, "Behind"),
    *((str(value), label) for value, label in Status.choices),
]
SORTS = {
    "group": "group",
    "rank": "status",
    "total_lag": "lag",
    "age_s": "behind",
    "consumed_per_s": "consumed",
    "produced_per_s": "produced",
    "eta_s": "eta",
    "lost": "lost",
    "members": "members",
}
WORST = "-status"


def ranked(groups: QuerySet[GroupSample]) -> QuerySet[GroupSample]:
    """With `rank`, which grows with how bad the verdict is."""
    cases = [When(status=status, then=Value(rank)) for rank, status in enumerate(Status.values)]
    return groups.annotate(rank=Case(*cases, default=Value(0), output_field=IntegerField()))


class GroupFilter(Problems, django_filters.FilterSet):  # type: ignore[misc]  # untyped library
    """The worst first, unless `sort` says otherwise; what is unknown comes last in every other order."""

    status = django_filters.ChoiceFilter(choices=STATUS_CHOICES, method="by_status")
    q = django_filters.CharFilter(field_name="group", lookup_expr="icontains")
    sort = django_filters.OrderingFilter(fields=SORTS)

    class Meta:
        model = GroupSample
        fields: list[str] = []

    def by_status(self, groups: QuerySet[GroupSample], name: str, value: str) -> QuerySet[GroupSample]:
        if value == ALL:
            return groups
        return groups.filter(status__in=BEHIND if value == IS_BEHIND else [value])

    def filter_queryset(self, queryset: QuerySet[GroupSample]) -> QuerySet[GroupSample]:
        groups: QuerySet[GroupSample] = super().filter_queryset(ranked(queryset))
        asked = [str(term) for term in groups.query.order_by] or ["-rank", "-total_lag"]
        order: list[Any] = [
            F(term[1:]).desc(nulls_last=True) if term.startswith("-") else F(term).asc(nulls_last=True)
            for term in asked
        ]
        return groups.order_by(*order, F("total_lag").desc(nulls_last=True), "group")
