"""Pages of consumer groups: who falls behind, how far in seconds, and will it catch up?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from gdsconsole.text.headline import Headline
from gdsconsole.web.filters import status_of
from gdsconsole.web.permissions import permission_required
from lag import selectors
from lag.charts import SPANS, WrongSpan, span_of
from lag.filters import ALL, IS_BEHIND, STATUS_CHOICES, WORST, GroupFilter
from lag.group_charts import group_charts, with_values, worst_chart
from lag.headlines import BEHIND, about_group, about_groups, is_read
from lag.models import GroupSample
from lag.rows import GroupRow, group_row, partition_rows

PAGE_ROWS = 50
PARTITIONS_SHOWN = 200
CHARTED_GROUPS = 5
CHART_SPAN = SPANS[1]

# The parts of a page that read themselves again: `?part=`, what htmx gets without one is the first.
LIST_PARTS = {"rows": "lag/_groups.html", "head": "lag/_groups_head.html", "chart": "lag/_groups_chart.html"}
GROUP_PARTS = {
    "now": "lag/_group.html",
    "charts": "lag/_charts.html",
    "partitions": "lag/_group_partitions.html",
}
GONE = Headline("The cluster no longer has this group: what you see is what was seen last.", "warn")

may_view = permission_required("lag.view_groupsample")


@require_safe
@may_view
def groups(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    part = selectors.part_of(request, LIST_PARTS)
    everyone = GroupSample.objects.newest().without_partitions()
    wanted = GroupFilter(request.GET, queryset=everyone)
    ranked = list(GroupFilter({}, queryset=everyone).qs)
    fresh = selectors.freshness(ranked[0].sampled_at if ranked else None, now=now)
    state = request.GET.get("status") or ALL
    context: dict[str, Any] = {
        "filter": wanted,
        "fresh": fresh,
        "headline": about_groups(ranked, stale_s=fresh.stale_s),
        "outage": _outage(ranked),
        "known_at": selectors.last_known_at() if _outage(ranked) else None,
        "total": len(ranked),
        "states": _states(state, Counter(sample.status for sample in ranked)),
        "state": state,
        "sort": WORST,
    }
    if not wanted.problems and part != "head":
        page = Paginator(wanted.qs, PAGE_ROWS).get_page(request.GET.get("page"))
        shown = list(page)
        context |= {"page": page}
        if part != "chart":
            context |= {"rows": _rows(shown, is_stale=fresh.is_stale, now=now)}
        if part != "rows":
            candidates = shown[: 2 * CHARTED_GROUPS]
            rows = selectors.lag_rows([sample.group for sample in candidates], CHART_SPAN, now=now)
            found = {name: rows[name] for name in with_values(rows)[:CHARTED_GROUPS]}
            limits = selectors.limits(candidates)
            context |= {"chart": worst_chart(found, limits, span=CHART_SPAN, now=now.timestamp())}
    return render(
        request, LIST_PARTS.get(part, "lag/groups.html"), context, status=status_of(request, wanted.problems)
    )


@require_safe
@may_view
def group(request: HttpRequest, name: str) -> HttpResponse:
    now = timezone.now()
    part = selectors.part_of(request, GROUP_PARTS)
    sample = GroupSample.objects.filter(group=name).order_by("-sampled_at").first()
    if sample is None:
        raise Http404(f"no consumer group {name!r} was ever seen")
    context: dict[str, Any] = {"name": name, "spans": SPANS}
    if part in {"", "charts"}:
        context |= _charts(sample, request.GET.get("range", ""), now)
    if part != "charts":
        context |= _now_of(sample, now)
    return render(request, GROUP_PARTS.get(part, "lag/group.html"), context)


def _charts(sample: GroupSample, wanted: str, now: datetime) -> dict[str, Any]:
    try:
        span = span_of(wanted)
    except WrongSpan as error:
        return {"problem": str(error)}
    rows, statuses = selectors.group_rows(sample.group, span, now=now)
    limit = selectors.limits([sample]).get(sample.group)
    charts = group_charts(
        sample.group, rows, statuses, limit=limit.value if limit else None, span=span, now=now.timestamp()
    )
    return {"span": span, "charts": charts, "limit": limit}


def _now_of(sample: GroupSample, now: datetime) -> dict[str, Any]:
    """What is known of the group now, or was known when it was seen last."""
    newest = GroupSample.objects.newest().values_list("sampled_at", flat=True).first()
    fresh = selectors.freshness(newest, now=now)
    is_gone = newest is not None and sample.sampled_at < newest
    read = selectors.last_read(sample)
    partitions = (read.partitions or []) if read else []
    declared = selectors.declared_topics(part["topic"] for part in partitions)
    shown = partition_rows(partitions, declared=declared)
    return {
        "row": _rows([sample], is_stale=fresh.is_stale or is_gone, now=now)[0],
        "sample": sample,
        "fresh": fresh,
        "is_gone": is_gone,
        "is_read": is_read(sample),
        "read_at": read.sampled_at if read else None,
        "is_old": fresh.is_stale or is_gone or read != sample,
        "headline": GONE if is_gone else about_group(sample, stale_s=fresh.stale_s),
        "partitions": shown[:PARTITIONS_SHOWN],
        "partition_count": len(shown),
        "more": max(0, len(shown) - PARTITIONS_SHOWN),
        "alerts": selectors.firing_alerts(sample.group),
    }


def _rows(samples: Sequence[GroupSample], *, is_stale: bool, now: datetime) -> list[GroupRow]:
    shown = [selectors.forgotten(sample) if is_stale else sample for sample in samples]
    partitions, trends = selectors.partitions_of(samples), selectors.trends(samples, now=now)
    limits, pipelines = selectors.limits(shown), selectors.pipelines()
    return [
        group_row(
            sample,
            partitions=partitions[sample.group],
            trend=trends[sample.group],
            limit=limits.get(sample.group),
            pipeline=pipelines.get(sample.group, ""),
            last_known=stored.total_lag,
        )
        for sample, stored in zip(shown, samples, strict=True)
    ]


def _states(chosen: str, counts: Counter[str]) -> list[dict[str, Any]]:
    """The choices above the list: those that hold something, and the one that is chosen."""
    sums = Counter({**counts, ALL: counts.total(), IS_BEHIND: sum(counts[status] for status in BEHIND)})
    return [
        {"value": value, "label": label, "count": sums[value]}
        for value, label in STATUS_CHOICES
        if value in {ALL, IS_BEHIND, chosen} or (sums[value] and value not in BEHIND)
    ]


def _outage(samples: Sequence[GroupSample]) -> str:
    """Why no group could be read; empty where one could."""
    if not samples or any(is_read(sample) for sample in samples):
        return ""
    return samples[0].reason
