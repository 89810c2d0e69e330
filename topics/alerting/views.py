"""Pages of alerts and their rules."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.paginator import Paginator
from django.db.models import Count, Max, Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST, require_safe

from gdsconsole.audit import payload_views
from gdsconsole.text.formats import plural
from gdsconsole.text.headline import Headline
from gdsconsole.text.names import shown
from gdsconsole.web import links
from gdsconsole.web.filters import status_of
from gdsconsole.web.permissions import permission_required
from topics.alerting import headlines, services
from topics.alerting.evidence_reader import read_evidence
from topics.alerting.filters import ALERT_STATES, ANY, OPEN, AlertFilter, RuleFilter
from topics.alerting.links import live_address
from topics.models import OPEN_STATES, Alert, AlertRule, AlertState, Severity, Source
from topics.units import unit_of

PAGE_ROWS = 50
NEARBY = timedelta(minutes=10)
NEARBY_ROWS = 8
# Up to what a database takes as a key; anything else in a form is nobody's alert.
_IS_ID = re.compile(r"[0-9]{1,18}")

# Breaks the first of the default rules.
SAMPLE = (
    """echo '{"timestamp":"2026-01-15T10:30:00Z","database_type":"postgresql","instance_id":"prod-db-01","""
    """"metric_name":"cpu_usage_percent","value":85.5,"tags":{"environment":"production"}}' """
    "| manage.py send_metrics - --topic gds.metrics.production"
)

may_view_alerts = permission_required("topics.view_alert")
may_view_rules = permission_required("topics.view_alertrule")
may_acknowledge = permission_required("topics.acknowledge_alert")


@require_safe
@may_view_alerts
def alerts(request: HttpRequest) -> HttpResponse:
    data = request.GET.copy()
    data.setdefault("state", OPEN)
    wanted = AlertFilter(data, queryset=Alert.objects.select_related("rule", "acknowledged_by"))
    state = str(data["state"])
    context: dict[str, Any] = {"filter": wanted, "state": state, "problems": wanted.problems}
    if not wanted.problems:
        page = Paginator(wanted.qs, PAGE_ROWS).get_page(request.GET.get("page"))
        grouped = "sort" not in request.GET and state not in (ANY, AlertState.RESOLVED)
        groups = list(_groups(page.object_list, state, grouped=grouped))
        context |= {
            "page": page,
            "groups": groups,
            "unacknowledged": [pk for one in groups for pk in one["unacknowledged"]],
        }
        context["states"] = _state_counts(data)
        context["is_narrowed"] = any(
            value for name, value in request.GET.items() if name not in {"state", "sort", "page"}
        )
        context["has_rules"] = AlertRule.objects.filter(enabled=True).exists()
        context["sample"] = SAMPLE
    if request.htmx:  # type: ignore[attr-defined]  # set by django-htmx
        return render(request, "topics/alerts/_rows.html", context)
    context |= {
        "severities": Severity.choices,
        "rules": AlertRule.objects.only("pk", "name"),
        "environments": sorted(
            Alert.objects.exclude(environment="").values_list("environment", flat=True).distinct()
        ),
        "headline": _headline(),
    }
    return render(request, "topics/alerts/list.html", context, status=status_of(request, wanted.problems))


@require_safe
@may_view_alerts
def alerts_head(request: HttpRequest) -> HttpResponse:
    """The sentence above the list, for a page that re-reads it."""
    return render(request, "topics/alerts/_head.html", {"headline": _headline()})


@require_safe
@may_view_alerts
def alert(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Alert.objects.select_related("rule", "acknowledged_by"), pk=pk)
    now = timezone.now()
    context = {
        "alert": found,
        "tone": _tone(found),
        "unit": unit_of(found.metric_name),
        "live": live_address(found) if found.is_open else "",
        "headline": headlines.about_alert(found, now=now),
        "events": found.events.select_related("actor").order_by("-pk"),
        "nearby": _nearby(found),
        "earlier_href": links.alerts(state="all", rule=found.rule_id, q=found.subject),
        "explained": _explained_by(found),
        "rule_edited_since": found.rule.updated_at > found.created_at,
        "earlier": Alert.objects.filter(rule=found.rule, fingerprint=found.fingerprint)
        .exclude(pk=found.pk)
        .aggregate(times=Count("pk"), last=Max("started_at")),
    }
    template = "topics/alerts/_alert.html" if request.htmx else "topics/alerts/alert.html"  # type: ignore[attr-defined]
    return render(request, template, context)


@require_safe
@may_view_alerts
def alert_evidence(request: HttpRequest, pk: int) -> HttpResponse:
    """The part of an alert's page that is read from Kafka, which may take a while or fail."""
    found = get_object_or_404(Alert.objects.select_related("rule"), pk=pk)
    evidence = read_evidence(found, live=live_address(found))
    # What a rule over the console's own measurements found stands in no record.
    if evidence.record is not None and found.topic is not None:
        record = f"record {found.topic}-{found.partition}@{found.offset}"
        payload_views.viewed(
            actor=request.user.get_username(),
            sentence=f"viewed {record}",
            target=record,
            target_url=reverse("topics:message", args=[found.topic, found.partition, found.offset]),
            now=timezone.now(),
        )
    return render(request, "topics/alerts/_evidence.html", {"alert": found, "evidence": evidence})


@require_POST
@may_acknowledge
def acknowledge(request: HttpRequest) -> HttpResponse:
    """Acknowledge the alerts with the ids in the form; what is resolved or acknowledged is left as it is."""
    ids = [int(value) for value in request.POST.getlist("id") if _IS_ID.fullmatch(value)]
    acknowledged = services.acknowledge_alerts(ids=ids, actor=cast(User, request.user), now=timezone.now())
    if acknowledged:
        title, tone = f"{plural(acknowledged, 'alert')} acknowledged", "ok"
    else:
        title, tone = "Nothing to acknowledge: resolved, or acknowledged already", "info"
    if request.htmx:  # type: ignore[attr-defined]
        happened = {"toast": {"tone": tone, "title": title}, "live:sync": {}}
        return HttpResponse(status=204, headers={"HX-Trigger": json.dumps(happened)})
    messages.add_message(request, messages.SUCCESS if acknowledged else messages.INFO, title)
    back = request.POST.get("next", "")
    safe = url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure())
    # Not by redirect(), which would look for a view of that name.
    return HttpResponseRedirect(back if safe else reverse("topics:alerts"))


@require_safe
@may_view_rules
def rules(request: HttpRequest) -> HttpResponse:
    day = timezone.now() - timedelta(days=1)
    annotated = AlertRule.objects.annotate(
        firing=Count("alerts", filter=Q(alerts__state=AlertState.FIRING)),
        pending=Count("alerts", filter=Q(alerts__state=AlertState.PENDING)),
        fired_lately=Count("alerts", filter=Q(alerts__fired_at__gte=day)),
        last_fired=Max("alerts__fired_at"),
    )
    wanted = RuleFilter(request.GET, queryset=annotated.order_by("-firing", "-enabled", "name"))
    context: dict[str, Any] = {"filter": wanted, "problems": wanted.problems}
    if not wanted.problems:
        page = Paginator(wanted.qs, PAGE_ROWS).get_page(request.GET.get("page"))
        context |= {
            "page": page,
            "rules": [
                {"rule": rule, "unit": unit_of(rule.metric_name), "scope": _scope(rule)} for rule in page
            ],
            "is_narrowed": any(value for name, value in request.GET.items() if name not in {"sort", "page"}),
        }
    if request.htmx:  # type: ignore[attr-defined]
        return render(request, "topics/rules/_rows.html", context)
    on = AlertRule.objects.filter(enabled=True)
    context |= {
        "headline": headlines.about_rules(
            enabled=on.count(),
            disabled=AlertRule.objects.filter(enabled=False).count(),
            metrics=on.values("metric_name").distinct().count(),
            firing=Alert.objects.firing().values("rule").distinct().count(),
        ),
        "severities": Severity.choices,
        "sources": Source.choices,
    }
    return render(request, "topics/rules/list.html", context, status=status_of(request, wanted.problems))


def _scope(rule: AlertRule) -> str:
    """What the rule looks at."""
    if rule.source in (Source.LAG, Source.PIPELINE):
        return rule.instance or "every group"
    if rule.source != Source.METRIC:
        return "the cluster"
    if not (rule.instance or rule.database_type or rule.environment):
        return "every instance"
    parts = (rule.instance or "any instance", rule.database_type, rule.environment)
    return " · ".join(part for part in parts if part)


def _headline() -> Headline:
    unacknowledged = Alert.objects.firing().filter(acknowledged_at=None)
    counts = Alert.objects.aggregate(
        total=Count("pk", filter=Q(state=AlertState.FIRING)),
        critical=Count("pk", filter=Q(state=AlertState.FIRING, severity=Severity.CRITICAL)),
        unacknowledged=Count("pk", filter=Q(state=AlertState.FIRING, acknowledged_at=None)),
    )
    firing = headlines.FiringCounts(
        **counts, worst=unacknowledged.select_related("rule").worst_first().first()
    )
    return headlines.about_alerts(
        firing,
        pending=Alert.objects.filter(state=AlertState.PENDING).count(),
        rules=AlertRule.objects.filter(enabled=True).count(),
        now=timezone.now(),
    )


def _state_counts(data: Any) -> list[dict[str, Any]]:
    """The tabs, each with how many it would show under the other filters."""
    query = data.copy()
    query["state"] = ANY
    query.pop("sort", None)
    by_state = dict(
        AlertFilter(query, queryset=Alert.objects.all())
        .qs.order_by()
        .values_list("state")
        .annotate(count=Count("pk"))
    )
    totals = {OPEN: sum(by_state.get(state, 0) for state in OPEN_STATES), ANY: sum(by_state.values())}
    return [
        {"value": value, "label": label, "count": totals.get(value, by_state.get(value, 0))}
        for value, label in ALERT_STATES
    ]


def _groups(page: Any, state: str, *, grouped: bool) -> Iterator[dict[str, Any]]:
    """Alerts of one rule and state that stand together; a group of one or two needs no head.

    `state` is the one the list is narrowed to.
    """
    for _, found in groupby(page, key=lambda alert: (alert.state, alert.severity, alert.rule_id)):
        members = list(found)
        yield {
            "rows": [_row(alert, state) for alert in members],
            "rule": members[0].rule,
            "state": members[0].state,
            "severity": members[0].severity,
            "oldest": min(alert.started_at for alert in members),
            "unacknowledged": [
                alert.pk for alert in members if alert.is_open and alert.acknowledged_at is None
            ],
            "has_head": grouped and len(members) > 2,
            "tone": _tone(members[0]),
        }


def _row(alert: Alert, state: str) -> dict[str, Any]:
    return {
        "alert": alert,
        "unit": unit_of(alert.metric_name),
        "live": live_address(alert) if alert.is_open else "",
        "tone": _tone(alert),
        "about": _about(alert),
        "badge": alert.severity if alert.state == AlertState.FIRING else alert.state,
        "since": alert.resolved_at if state == AlertState.RESOLVED else alert.started_at,
    }


def _about(alert: Alert) -> str:
    """What stands below the resource: what kind it is, and whose."""
    if not alert.labels.get("database_type"):
        return str(alert.rule.get_source_display())
    parts = (alert.labels["database_type"], alert.environment, alert.labels.get("tenant_id"))
    return " · ".join(part for part in parts if part)


def _tone(alert: Alert) -> str:
    """The colour of a row: only of what fires."""
    tones = {Severity.CRITICAL.value: "bad", Severity.WARNING.value: "warn"}
    return tones.get(alert.severity, "") if alert.state == AlertState.FIRING else ""


def _explained_by(alert: Alert) -> dict[str, str] | None:
    """The page of what the console measured itself; a metric's records are on the alert's own page."""
    match alert.rule.source:
        case Source.LAG:
            group = alert.labels.get("group", "")
            return {"title": f"Lag of {shown(group)}", "url": reverse("lag:group", args=[group])}
        case Source.BROKER:
            return {"title": "Brokers", "url": links.brokers()}
        case Source.PIPELINE:
            name = alert.labels.get("pipeline", "")
            return {"title": f"Pipeline {name}", "url": links.pipelines(name)}
    return None


def _nearby(alert: Alert) -> list[Alert]:
    """Other alerts that began about when this one did, those of the same subject first."""
    at: datetime = alert.started_at
    others = (
        Alert.objects.filter(started_at__range=(at - NEARBY, at + NEARBY))
        .exclude(pk=alert.pk)
        .select_related("rule")
    )
    ordered = sorted(
        others[:200], key=lambda other: (other.subject != alert.subject, abs(other.started_at - at))
    )
    return ordered[:NEARBY_ROWS]
