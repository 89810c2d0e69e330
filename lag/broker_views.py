"""The page of the brokers: is the cluster healthy?"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from gdsconsole.kafka.cluster.metadata import connectable, read_cluster
from gdsconsole.kafka.errors import KafkaUnavailable
from gdsconsole.pipelines.connection import kafka_settings
from gdsconsole.web.permissions import permission_required
from lag import selectors
from lag.broker_charts import broker_charts
from lag.broker_sampler import as_seen
from lag.charts import SPANS, TREND_SPAN, WrongSpan, span_of
from lag.headlines import P99_LIMIT_MS, about_brokers
from lag.models import BrokerSample
from lag.rows import broker_rows, cluster_tiles, cluster_trends
from lag.short_partitions import short_rows

ROWS_SHOWN = 100
READ_TIMEOUT_S = 3.0
PARTS = {"now": "lag/_brokers.html", "charts": "lag/_broker_charts.html"}

may_view = permission_required("lag.view_brokersample")


@require_safe
@may_view
def brokers(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    part = selectors.part_of(request, PARTS)
    context: dict[str, Any] = {"spans": SPANS}
    if part != "now":
        context |= _charts(request.GET.get("range", ""), now)
    if part != "charts":
        context |= _now(now)
    return render(request, PARTS.get(part, "lag/brokers.html"), context)


@require_safe
@may_view
def partitions(request: HttpRequest) -> HttpResponse:
    """The partitions that miss replicas, or a leader, read from the cluster itself: samples count them."""
    if not _has_trouble(BrokerSample.objects.newest()):
        return render(request, "lag/_short_partitions.html", {})
    try:
        cluster = read_cluster(kafka_settings(), timeout_s=READ_TIMEOUT_S)
        up = connectable(cluster.brokers)
    except KafkaUnavailable as error:
        return render(request, "lag/_short_partitions.html", {"has_trouble": True, "error": str(error)})
    seen = [as_seen(part, up) for part in cluster.partitions]
    short = [part for part in seen if part.is_under_replicated or part.leader is None]
    rows = short_rows(short, declared=selectors.declared_topics(part.topic for part in short))
    context = {
        "has_trouble": True,
        "is_read": True,
        "short": rows[:ROWS_SHOWN],
        "more": len(rows[ROWS_SHOWN:]),
    }
    return render(request, "lag/_short_partitions.html", context)


def _now(now: datetime) -> dict[str, Any]:
    sample = BrokerSample.objects.newest()
    fresh = selectors.freshness(sample.sampled_at if sample else None, now=now)
    context: dict[str, Any] = {
        "fresh": fresh,
        "headline": about_brokers(sample, stale_s=fresh.stale_s),
        "alerts": selectors.cluster_alerts(),
        "limit_s": P99_LIMIT_MS / 1000,
    }
    if sample is None:
        return context
    shown = selectors.unheard(sample) if fresh.is_stale else sample
    answered = selectors.last_answered() if shown.live is None else shown
    rows = broker_rows(answered.brokers if answered else [], is_known=shown.live is not None)
    trends = cluster_trends(selectors.broker_samples(TREND_SPAN, now=now), now=now.timestamp())
    return context | {
        "sample": shown,
        "answered_at": answered.sampled_at if answered else None,
        "rows": rows,
        "without_metrics": sum(1 for row in rows if row.state == "up" and not row.has_metrics),
        "tiles": cluster_tiles(shown, trends),
        "has_trouble": _has_trouble(shown),
        "is_due": _has_trouble(shown),
    }


def _charts(wanted: str, now: datetime) -> dict[str, Any]:
    try:
        span = span_of(wanted)
    except WrongSpan as error:
        return {"problem": str(error)}
    samples = selectors.broker_samples(span, now=now)
    if not samples and BrokerSample.objects.newest() is None:
        return {"span": span}
    return {"span": span, "charts": broker_charts(samples, span=span, now=now.timestamp())}


def _has_trouble(sample: BrokerSample | None) -> bool:
    return sample is not None and bool(sample.under_replicated or sample.leaderless)
