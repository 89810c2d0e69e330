"""An escape hatch to look through: what came from Kafka, and what was decided, is changed elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest

from dlq.models import DeadLetter, DeadLetterEvent, ReplayItem, ReplayRun
from gdsconsole.web.read_only_admin import ReadOnly

if TYPE_CHECKING:
    LetterAdminBase = admin.ModelAdmin[DeadLetter]
    RunAdminBase = admin.ModelAdmin[ReplayRun]
    EventInlineBase = admin.TabularInline[DeadLetterEvent, DeadLetter]
    ItemInlineBase = admin.TabularInline[ReplayItem, ReplayRun]
else:
    LetterAdminBase = RunAdminBase = admin.ModelAdmin
    EventInlineBase = ItemInlineBase = admin.TabularInline


class EventInline(ReadOnly, EventInlineBase):
    model = DeadLetterEvent
    fields = ["at", "action", "from_state", "to_state", "actor", "reason", "target", "error"]


class ItemInline(ReadOnly, ItemInlineBase):
    model = ReplayItem
    readonly_fields = ["replay_id"]
    fields = [
        "dead_letter",
        "replay_id",
        "state",
        "target_topic",
        "target_partition",
        "target_offset",
        "error",
    ]
    raw_id_fields = ["dead_letter"]


@admin.register(DeadLetter)
class DeadLetterAdmin(ReadOnly, LetterAdminBase):
    list_display = ["id", "state", "error_type", "cause_label", "coordinates", "group", "last_failed_at"]
    list_filter = ["state", "envelope", "topic", "group", "error_type"]
    search_fields = ["error", "topic"]
    # The message is shown, as text, by the console's own page; here it would be megabytes of digits.
    exclude = ["key", "value", "headers"]
    inlines = [EventInline]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).defer("key", "value", "headers")


@admin.register(ReplayRun)
class ReplayRunAdmin(ReadOnly, RunAdminBase):
    list_display = [
        "id",
        "state",
        "actor",
        "reason",
        "total",
        "replayed",
        "failed",
        "created_at",
        "finished_at",
    ]
    list_filter = ["state"]
    inlines = [ItemInline]
