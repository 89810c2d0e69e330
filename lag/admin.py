"""An escape hatch to look through what was sampled; nobody changes a measurement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest

from gdsconsole.web.read_only_admin import ReadOnly
from lag.models import BrokerSample, GroupSample

if TYPE_CHECKING:
    GroupAdminBase = admin.ModelAdmin[GroupSample]
    BrokerAdminBase = admin.ModelAdmin[BrokerSample]
else:
    GroupAdminBase = BrokerAdminBase = admin.ModelAdmin


@admin.register(GroupSample)
class GroupSampleAdmin(ReadOnly, GroupAdminBase):
    list_per_page = 50
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
    list_per_page = 50
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
