"""Definitions and rules are edited here; alerts come from Kafka and can only be looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db import models
from django.db.models import Count, Max, Q
from django.http import HttpRequest
from django.utils import timezone

from gdsconsole.web.read_only_admin import ReadOnly
from topics.alerting import services as alerting
from topics.definitions import services as definitions
from topics.models import OPEN_STATES, Alert, AlertEvent, AlertRule, TopicDefinition

if TYPE_CHECKING:
    from django.db.models import QuerySet

    DefinitionAdmin = admin.ModelAdmin[TopicDefinition]
    RuleAdmin = admin.ModelAdmin[AlertRule]
    AlertAdminBase = admin.ModelAdmin[Alert]
    EventInline = admin.TabularInline[AlertEvent, Alert]
else:
    DefinitionAdmin = RuleAdmin = AlertAdminBase = admin.ModelAdmin
    EventInline = admin.TabularInline


def _by(request: HttpRequest) -> dict[str, Any]:
    """Who asks a service for what, and when."""
    return {"actor": request.user.get_username(), "now": timezone.now()}


@admin.register(TopicDefinition)
class TopicDefinitionAdmin(DefinitionAdmin):
    list_display = [
        "name",
        "partitions",
        "replication_factor",
        "min_insync_replicas",
        "retention_ms",
        "cleanup_policy",
        "owner",
        "enabled",
        "applied_at",
    ]
    list_filter = ["enabled", "cleanup_policy", "compression_type", "key_strategy", "owner"]
    search_fields = ["name", "owner", "description"]
    readonly_fields = ["last_applied", "applied_at", "created_at", "updated_at"]
    fieldsets = [
        (None, {"fields": ["name", "description", "owner", "enabled"]}),
        (
            "Layout",
            {
                "fields": ["partitions", "replication_factor", "min_insync_replicas", "key_strategy"],
                "description": "What is saved here is declared only; `manage.py topics apply` makes it so.",
            },
        ),
        (
            "Storage",
            {
                "fields": [
                    "retention_ms",
                    "cleanup_policy",
                    "compression_type",
                    "max_message_bytes",
                    "extra_config",
                ]
            },
        ),
        ("Last applied", {"fields": ["last_applied", "applied_at", "created_at", "updated_at"]}),
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: TopicDefinition | None = None) -> list[str]:
        # A topic can't be renamed on a cluster, so its definition can't be either.
        return [*self.readonly_fields, *(["name"] if obj else [])]

    def save_model(self, request: HttpRequest, obj: TopicDefinition, form: Any, change: bool) -> None:
        definitions.save_definition(definition=obj, **_by(request))

    def delete_model(self, request: HttpRequest, obj: TopicDefinition) -> None:
        definitions.delete_definition(definition=obj, **_by(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[TopicDefinition]) -> None:
        for definition in queryset:
            definitions.delete_definition(definition=definition, **_by(request))


@admin.register(AlertRule)
class AlertRuleAdmin(RuleAdmin):
    list_display = [
        "name",
        "condition",
        "severity",
        "source",
        "for_s",
        "enabled",
        "open_alerts",
        "last_fired",
    ]
    list_filter = ["enabled", "severity", "source", "database_type", "environment"]
    search_fields = ["name", "metric_name", "instance", "description"]
    readonly_fields = ["created_at", "updated_at"]
    formfield_overrides = {models.URLField: {"assume_scheme": "https"}}
    fieldsets = [
        (None, {"fields": ["name", "description", "runbook_url", "severity", "enabled"]}),
        (
            "Condition",
            {
                "fields": ["source", "metric_name", "operator", "threshold", "for_s", "keep_firing_for_s"],
                "description": "Running pipelines take up an edit within two seconds.",
            },
        ),
        ("Which series", {"fields": ["database_type", "instance", "environment", "group_by_tags"]}),
        ("History", {"fields": ["created_at", "updated_at"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[AlertRule]:
        return (
            super()
            .get_queryset(request)
            .annotate(
                open_count=Count("alerts", filter=Q(alerts__state__in=OPEN_STATES)),
                fired_last=Max("alerts__fired_at"),
            )
        )

    def save_model(self, request: HttpRequest, obj: AlertRule, form: Any, change: bool) -> None:
        alerting.save_rule(rule=obj, **_by(request))

    def delete_model(self, request: HttpRequest, obj: AlertRule) -> None:
        alerting.delete_rule(rule=obj, **_by(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[AlertRule]) -> None:
        for rule in queryset:
            alerting.delete_rule(rule=rule, **_by(request))

    @admin.display(description="open alerts", ordering="open_count")
    def open_alerts(self, rule: Any) -> int:
        return int(rule.open_count)

    @admin.display(description="last fired", ordering="fired_last")
    def last_fired(self, rule: Any) -> Any:
        return rule.fired_last


class AlertEventInline(ReadOnly, EventInline):
    model = AlertEvent
    extra = 0
    readonly_fields = ("state", "value", "at", "actor", "reason", "event_id", "published_at", "attempts")
    fields = readonly_fields


@admin.register(Alert)
class AlertAdmin(ReadOnly, AlertAdminBase):
    list_display = ["summary", "state", "severity", "started_at", "resolved_at", "acknowledged_by"]
    list_filter = ["state", "severity", "environment", "rule"]
    list_select_related = ["rule", "acknowledged_by"]
    search_fields = ["subject", "metric_name"]
    date_hierarchy = "started_at"
    inlines = [AlertEventInline]
