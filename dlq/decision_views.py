"""What a reviewer decides on a page: replay and discard, one letter or a frozen selection."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db import transaction
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from dlq import services
from dlq.forms import BulkDiscardForm, BulkReplayForm, DiscardForm, ReplayForm, problems
from dlq.models import DeadLetter, ReplayRun
from dlq.services import NothingDone
from dlq.tasks import enqueue_replay
from dlq.views import wanted_letters
from gdsconsole.web.permissions import permission_required

may_replay = permission_required("dlq.replay_deadletter")
may_discard = permission_required("dlq.discard_deadletter")
REFUSALS_SHOWN = 20


@require_POST
@may_replay
def replay(request: HttpRequest, pk: int) -> HttpResponse:
    letter = get_object_or_404(DeadLetter.objects.only("pk"), pk=pk)
    form = ReplayForm(request.POST)
    if not form.is_valid():
        messages.error(request, problems(form))
    elif _start(request, [letter.pk], form.cleaned_data) is not None:
        messages.success(request, "Replay requested. This page shows where the message lands.")
    return redirect("dlq:letter", pk=letter.pk)


@require_POST
@may_discard
def discard(request: HttpRequest, pk: int) -> HttpResponse:
    letter = get_object_or_404(DeadLetter.objects.only("pk"), pk=pk)
    form = DiscardForm(request.POST)
    if not form.is_valid():
        messages.error(request, problems(form))
    elif _discard(request, [letter.pk], form.cleaned_data["reason"]):
        messages.success(
            request, f"Dead letter {letter.pk} is discarded. It stays in the list under Discarded."
        )
    return redirect("dlq:letter", pk=letter.pk)


@require_http_methods(["GET", "HEAD", "POST"])
@may_replay
def replay_selection(request: HttpRequest) -> HttpResponse:
    """GET freezes a selection and shows what its replay would do; POST does it."""
    if request.method != "POST":
        return _preview(request, "replay", BulkReplayForm())
    form = BulkReplayForm(request.POST)
    if not form.is_valid():
        return _again(request, "replay", form)
    run = _start(request, form.cleaned_data["ids"], form.cleaned_data)
    if run is None:
        return redirect("dlq:letters")
    return redirect("dlq:run", pk=run.pk)


@require_http_methods(["GET", "HEAD", "POST"])
@may_discard
def discard_selection(request: HttpRequest) -> HttpResponse:
    """GET freezes a selection and shows what would be put away; POST does it."""
    if request.method != "POST":
        return _preview(request, "discard", BulkDiscardForm())
    form = BulkDiscardForm(request.POST)
    if not form.is_valid():
        return _again(request, "discard", form)
    done = _discard(request, form.cleaned_data["ids"], form.cleaned_data["reason"])
    if done:
        messages.success(request, f"{done:,} dead letters are discarded.")
    return redirect("dlq:letters")


def _start(request: HttpRequest, ids: list[int], cleaned: dict[str, Any]) -> ReplayRun | None:
    try:
        started = services.start_replay(
            ids=ids,
            actor=request.user.get_username(),
            now=timezone.now(),
            reason=cleaned["reason"],
            over_limit=cleaned.get("over_limit", False),
        )
    except NothingDone as nothing:
        messages.warning(request, _sentence(nothing))
        return None
    if started.refusals:
        messages.warning(request, f"{len(started.refusals)} were left out: {started.refusals[0]}.")
    transaction.on_commit(enqueue_replay)
    return started.run


def _discard(request: HttpRequest, ids: list[int], reason: str) -> int:
    try:
        done = services.discard(ids=ids, actor=request.user.get_username(), reason=reason, now=timezone.now())
    except NothingDone as nothing:
        messages.warning(request, _sentence(nothing))
        return 0
    if done.refusals:
        messages.warning(request, f"{len(done.refusals)} were left out: {done.refusals[0]}.")
    return len(done.ids)


def _preview(request: HttpRequest, action: str, form: Any) -> HttpResponse:
    chosen = [
        int(one) for one in request.GET.getlist("id") if one.isascii() and one.isdigit() and len(one) < 19
    ]
    if not chosen:
        wanted = wanted_letters(request)
        if wanted.problems:
            messages.error(request, "; ".join(wanted.problems))
            return redirect("dlq:letters")
        chosen = list(wanted.qs.values_list("pk", flat=True)[: services.MAX_SELECTION + 1])
    return _selection(request, action, form, chosen)


def _again(request: HttpRequest, action: str, form: Any) -> HttpResponse:
    """The same selection once more, with what was wrong. Without one there is nothing to show."""
    ids = form.cleaned_data.get("ids")
    if not ids:
        messages.error(request, problems(form))
        return redirect("dlq:letters")
    return _selection(request, action, form, ids)


def _selection(request: HttpRequest, action: str, form: Any, chosen: list[int]) -> HttpResponse:
    try:
        plan = services.plan_replay(ids=chosen) if action == "replay" else services.plan_discard(ids=chosen)
    except NothingDone as nothing:
        messages.warning(request, _sentence(nothing))
        return redirect("dlq:letters")
    letters = DeadLetter.objects.filter(pk__in=plan.ids)
    context = {
        "action": action,
        "form": form,
        "plan": plan,
        "count": len(plan.ids),
        "ids": ",".join(map(str, plan.ids)),
        "causes": letters.values("cause", "cause_label", "error_type")
        .annotate(letters=Count("id"))
        .order_by("-letters")[:8],
        "refusals": plan.refusals[:REFUSALS_SHOWN],
        "more_refusals": max(0, len(plan.refusals) - REFUSALS_SHOWN),
        "target": reverse(f"dlq:{action}-selection"),
    }
    return render(request, "dlq/selection.html", context)


def _sentence(nothing: NothingDone) -> str:
    text = str(nothing)
    return text[:1].upper() + text[1:] + "."
