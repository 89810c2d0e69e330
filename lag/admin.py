"""An escape hatch to look through what was sampled; nobody changes a measurement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest

from lag.models import BrokerSample, GroupSample

if TYPE_CHECKING:
    GroupAdminBase = admin.ModelAdmin[GroupSample]
    BrokerAdminBase = admin.ModelAdmin[BrokerSample]
else:
    GroupAdminBase = BrokerAdminBase = admin.ModelAdmin


class ReadOnly:
    """Rows that only the samplers write."""

    # Counting them all would take longer than showing the newest.
    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(GroupSample)
class GroupSampleAdmin(ReadOnly, GroupAdminBase):
    list_display = [
        "group",
        "sampled_at",
        "state",
        "status",
        "total_lag",
        "unknown_partitions",
        "lost",
        "age_s",
    ]
    list_filter = ["status", "state"]
    search_fields = ["group"]
    ordering = ["-sampled_at", "group"]

    def get_queryset(self, request: HttpRequest) -> Any:
        rows = super().get_queryset(request)
        is_one = request.resolver_match is not None and "object_id" in request.resolver_match.kwargs
        return rows if is_one else rows.defer("partitions")


@admin.register(BrokerSample)
class BrokerSampleAdmin(ReadOnly, BrokerAdminBase):
    list_display = [
        "sampled_at",
        "live",
        "expected",
        "under_replicated",
        "under_min_isr",
        "leaderless",
        "error",
    ]
    ordering = ["-sampled_at"]
