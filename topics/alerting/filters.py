"""Which rows the lists show; all of it lives in the address."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import Q, QuerySet

from gdsconsole.web.filters import Problems
from topics.models import OPEN_STATES, Alert, AlertRule, AlertState, Severity, Source

OPEN, ANY = "open", "all"
ALERT_STATES = [
    (OPEN, "Open"),
    (AlertState.FIRING.value, "Firing"),
    (AlertState.PENDING.value, "Pending"),
    (AlertState.RESOLVED.value, "Resolved"),
    (ANY, "All"),
]


class AlertFilter(Problems, django_filters.FilterSet):  # type: ignore[misc]  # untyped library
    """Without a `state` the open ones. Sorted by what needs a person first, unless `sort` says otherwise."""

    state = django_filters.ChoiceFilter(choices=ALERT_STATES, method="by_state")
    severity = django_filters.ChoiceFilter(choices=Severity.choices)
    rule = django_filters.NumberFilter(field_name="rule_id", min_value=0, max_value=2**63 - 1)
    environment = django_filters.CharFilter()
    acknowledged = django_filters.ChoiceFilter(
        choices=[("no", "Not acknowledged"), ("yes", "Acknowledged")], method="by_acknowledgement"
    )
    q = django_filters.CharFilter(method="by_text")
    sort = django_filters.OrderingFilter(
        fields={
            "subject": "subject",
            "started_at": "started_at",
            "resolved_at": "resolved_at",
            "rule__name": "rule",
        }
    )

    class Meta:
        model = Alert
        fields: list[str] = []

    def by_state(self, alerts: QuerySet[Alert], name: str, value: str) -> QuerySet[Alert]:
        if value == ANY:
            return alerts
        return alerts.filter(state__in=OPEN_STATES if value == OPEN else [value])

    def by_acknowledgement(self, alerts: QuerySet[Alert], name: str, value: str) -> QuerySet[Alert]:
        return alerts.filter(acknowledged_at__isnull=value == "no")

    def by_text(self, alerts: QuerySet[Alert], name: str, value: str) -> QuerySet[Alert]:
        return alerts.filter(
            Q(subject__icontains=value) | Q(metric_name__icontains=value) | Q(rule__name__icontains=value)
        )

    def filter_queryset(self, queryset: QuerySet[Alert]) -> QuerySet[Alert]:
        alerts: Any = super().filter_queryset(queryset)
        if alerts.query.order_by:
            return alerts.order_by(*alerts.query.order_by, "-pk")  # type: ignore[no-any-return]
        state = self.form.cleaned_data.get("state")
        if state == AlertState.RESOLVED:
            return alerts.order_by("-resolved_at", "-pk")  # type: ignore[no-any-return]
        if state == ANY:
            return alerts.order_by("-started_at", "-pk")  # type: ignore[no-any-return]
        return alerts.worst_first()  # type: ignore[no-any-return]


class RuleFilter(Problems, django_filters.FilterSet):  # type: ignore[misc]  # untyped library
    severity = django_filters.ChoiceFilter(choices=Severity.choices)
    source = django_filters.ChoiceFilter(choices=Source.choices)
    enabled = django_filters.BooleanFilter()
    q = django_filters.CharFilter(method="by_text")
    sort = django_filters.OrderingFilter(
        fields={"name": "name", "metric_name": "metric", "last_fired": "last_fired", "fired_lately": "fired"}
    )

    class Meta:
        model = AlertRule
        fields: list[str] = []

    def by_text(self, rules: QuerySet[AlertRule], name: str, value: str) -> QuerySet[AlertRule]:
        return rules.filter(
            Q(name__icontains=value) | Q(metric_name__icontains=value) | Q(instance__icontains=value)
        )
