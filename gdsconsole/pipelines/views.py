"""The pipelines' page: are my consumers working?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from gdsconsole.pipelines import services
from gdsconsole.pipelines.models import Pipeline
from gdsconsole.pipelines.services import CopyRow, PipelineRow

may_view = permission_required("pipelines.view_pipeline", raise_exception=True)
may_control = permission_required("pipelines.control_pipeline", raise_exception=True)


_FIGURES = ("processed", "dead_letters", "retries", "batch_ms", "last_commit_at")


class ScaleForm(forms.Form):
    copies = forms.IntegerField(min_value=1, max_value=services.MAX_COPIES)


@require_safe
@may_view
def pipelines(request: HttpRequest) -> HttpResponse:
    rows = services.listing(now=timezone.now())
    context: dict[str, Any] = {
        "pipelines": [{**row, "shown": [_shown(row, copy) for copy in row["copies"]]} for row in rows],
        "headline": headline(rows),
        "max_copies": services.MAX_COPIES,
    }
    template = "pipelines/_rows.html" if request.htmx else "pipelines/list.html"  # type: ignore[attr-defined]
    return render(request, template, context)


def _shown(row: PipelineRow, copy: CopyRow) -> dict[str, Any]:
    """A copy with its figures, None where unknown, and the name under which their live values come."""
    counters = copy["counters"]
    return {
        **copy,
        **{figure: counters.get(figure) for figure in _FIGURES},
        "waiting": counters.get("waiting") or {},
        "live": f"pipeline.stats:{row['name']}/{copy['slot']}:",
    }


def headline(rows: Sequence[PipelineRow]) -> str:
    """The page's answer in one sentence, worst first."""
    if not rows:
        return "No pipeline is known yet: the reconciler makes them when beat and a worker run."
    wrong = {state: [row["name"] for row in rows if row["state"] == state] for state in _WORST_FIRST}
    told = [f"{', '.join(names)} {_SAID[state]}" for state, names in wrong.items() if names]
    if not told:
        return "Every pipeline runs." if len(rows) > 1 else f"{rows[0]['name']} runs."
    return f"{'; '.join(told)}."


_SAID = {
    "halted": "halted and needs you",
    "backoff": "waits for something to come back",
    "starting": "is not fully running yet",
    "paused": "is paused",
}
_WORST_FIRST = tuple(_SAID)


@require_POST
@may_control
def pause(request: HttpRequest, name: str) -> HttpResponse:
    _known(request, services.pause, name=name)
    messages.success(request, f"{name} drains and stops. Its messages wait in Kafka until it is resumed.")
    return redirect("pipelines:list")


@require_POST
@may_control
def resume(request: HttpRequest, name: str) -> HttpResponse:
    _known(request, services.resume, name=name)
    messages.success(request, f"{name} goes on where it stopped, within a few seconds.")
    return redirect("pipelines:list")


@require_POST
@may_control
def scale(request: HttpRequest, name: str) -> HttpResponse:
    form = ScaleForm(request.POST)
    if not form.is_valid():
        messages.error(request, f"Copies: give a number between 1 and {services.MAX_COPIES}.")
        return redirect("pipelines:list")
    copies = form.cleaned_data["copies"]
    _known(request, services.scale, name=name, copies=copies)
    messages.success(request, f"{name} runs {copies} cop{'y' if copies == 1 else 'ies'} in a few seconds.")
    return redirect("pipelines:list")


def _known(request: HttpRequest, change: Callable[..., Pipeline], **arguments: Any) -> None:
    try:
        change(**arguments, actor=request.user.get_username(), now=timezone.now())
    except services.UnknownPipeline as error:
        raise Http404(str(error)) from error
