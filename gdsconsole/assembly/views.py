"""Pages that belong to no app: the overview, the frame around every page, and the health endpoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from functools import wraps

from django import forms
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from gdsconsole.assembly import readiness
from gdsconsole.assembly.overview import problems, selectors
from gdsconsole.assembly.shell import search
from gdsconsole.web.not_allowed import way_to

# The overview tells of everything, so it is for those who may look at everything; each role may.
LOOKING = (
    "topics.view_alert",
    "topics.view_topicdefinition",
    "pipelines.view_pipeline",
    "dlq.view_deadletter",
    "lag.view_groupsample",
    "lag.view_brokersample",
)


def _may_look(view: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Tell somebody without a role what to do about it: this is the page that a log-in leads to."""

    @wraps(view)
    def checked(request: HttpRequest) -> HttpResponse:
        if not request.user.has_perms(LOOKING):
            return render(request, "overview/no_role.html", {"way": way_to()}, status=403)
        return view(request)

    return checked


@require_safe
@_may_look
def overview(request: HttpRequest) -> HttpResponse:
    """Is anything wrong, and where do I go?"""
    now = timezone.now()
    context = {
        **_state_context(selectors.read_state(now=now)),
        "alerts": selectors.read_firing(),
        **_fleet_context(now),
    }
    return render(request, "overview/page.html", context)


@require_safe
@_may_look
def overview_state(request: HttpRequest) -> HttpResponse:
    """The sentence, the figures and the drawing, for a page that is open."""
    return render(request, "overview/_state.html", _state_context(selectors.read_state(now=timezone.now())))


@require_safe
@_may_look
def overview_alerts(request: HttpRequest) -> HttpResponse:
    """The alerts that fire, for a page that is open."""
    return render(request, "overview/_alerts.html", {"alerts": selectors.read_firing()})


@require_safe
@_may_look
def overview_fleet(request: HttpRequest) -> HttpResponse:
    """The newest metrics, for a page that is open."""
    return render(request, "overview/_fleet.html", _fleet_context(timezone.now()))


def _fleet_context(now: datetime) -> dict[str, object]:
    fleet = selectors.read_fleet(now=now)
    if fleet is None or fleet.rows:
        return {"fleet": fleet}
    reason = selectors.why_no_metrics(now=now)
    if reason:
        return {"fleet": fleet, "reason": reason}
    topic = f"{settings.GDS_ORGANIZATION}.metrics.production"
    command = f"manage.py simulate --rate 50\nmanage.py send_metrics metrics.jsonl --topic {topic}"
    return {"fleet": fleet, "command": command}


def _state_context(state: selectors.OverviewState) -> dict[str, object]:
    return {
        "state": state,
        "tone": problems.tone_of(state.problems),
        "calm": problems.calm(state.readings),
    }


@require_safe
def frame_state(request: HttpRequest) -> HttpResponse:
    """The live parts of the page's frame, for a page that is open."""
    return render(request, "components/frame_state.html")


class SearchForm(forms.Form):
    q = forms.CharField(max_length=249, required=False)


@require_safe
def palette(request: HttpRequest) -> JsonResponse:
    """What the command palette finds: `{"entries": [{kind, label, icon, hint, href or action}]}`."""
    form = SearchForm(request.GET)
    if not form.is_valid():
        return JsonResponse({"error": f"q: {form.errors['q'][0]}", "entries": []}, status=400)
    entries = search.search(form.cleaned_data["q"], request.user.has_perm)
    return JsonResponse(
        {"entries": [asdict(entry) for entry in entries]}, headers={"Cache-Control": "no-store"}
    )


@login_not_required
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """The process answers; says nothing of its parts."""
    return JsonResponse({"ok": True})


@login_not_required
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Whether every part answers: 200 when all do, else 503; each part with what is wrong with it."""
    parts = readiness.read()
    ok = all(part.ok for part in parts)
    body = {"ok": ok, "parts": [asdict(part) for part in parts]}
    return JsonResponse(body, status=200 if ok else 503, headers={"Cache-Control": "no-store"})
