"""The pipelines' page: are my consumers working?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from gdsconsole.pipelines import capacity, selectors, services, status
from gdsconsole.pipelines.models import Pipeline
from gdsconsole.pipelines.selectors import PipelineView
from gdsconsole.text.formats import plural
from gdsconsole.web.permissions import permission_required

may_view = permission_required("pipelines.view_pipeline")
may_control = permission_required("pipelines.control_pipeline")


class ScaleForm(forms.Form):
    consumers = forms.IntegerField(min_value=1, max_value=services.MAX_CONSUMERS)


@require_safe
@may_view
def pipelines(request: HttpRequest) -> HttpResponse:
    views = selectors.read(now=timezone.now())
    context: dict[str, Any] = {
        "pipelines": views,
        "headline": headline(views),
        "max_consumers": services.MAX_CONSUMERS,
    }
    template = "pipelines/_rows.html" if request.htmx else "pipelines/list.html"  # type: ignore[attr-defined]
    return render(request, template, context)


def headline(views: Sequence[PipelineView]) -> str:
    """The page's answer in one sentence, worst first."""
    return status.headline(
        [(view.name, "abandoned" if view.is_abandoned else view.state, view.status) for view in views],
        short=[
            f"{view.name} has {view.running} of {view.wanted_consumers} consumers: {view.short}"
            for view in views
            if view.short and view.running
        ],
    )


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
        messages.error(request, f"Consumers: give a number between 1 and {services.MAX_CONSUMERS}.")
        return redirect("pipelines:list")
    consumers = form.cleaned_data["consumers"]
    _known(request, services.scale, name=name, consumers=consumers)
    now = timezone.now()
    short = capacity.shortfall(name=name, processes=capacity.processes(now=now), now=now)
    if short:
        messages.warning(
            request, f"{name} is scaled to {consumers}, but only {short}. The others wait for one."
        )
    else:
        messages.success(request, f"{name} runs {plural(consumers, 'consumer')} in a few seconds.")
    return redirect("pipelines:list")


def _known(request: HttpRequest, change: Callable[..., Pipeline], **arguments: Any) -> None:
    try:
        change(**arguments, actor=request.user.get_username(), now=timezone.now())
    except services.UnknownPipeline as error:
        raise Http404(str(error)) from error
