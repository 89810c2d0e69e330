"""The ways out of a halt: what stands, what each way leads to in numbers, and the decision."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST, require_safe

from gdsconsole.kafka.errors import KafkaUnavailable
from gdsconsole.pipelines import services
from gdsconsole.pipelines.halts import services as halts
from gdsconsole.pipelines.halts import skipping
from gdsconsole.pipelines.halts.services import Decision, HaltsMoved, NotHalted
from gdsconsole.pipelines.halts.skipping import HaltedPartition, WrongSkip
from gdsconsole.pipelines.models import PartitionHalt, Pipeline
from gdsconsole.text.formats import plural

may_view = permission_required("pipelines.view_pipeline", raise_exception=True)
# Who may do it differs by the decision; see `PERMISSIONS`.
PERMISSIONS = {
    Decision.RESUME: "pipelines.control_pipeline",
    Decision.DEAD_LETTER: "pipelines.decide_halt",
    Decision.SKIP: "pipelines.decide_halt",
}
MAX_HALTS = 5_000
_CHOSEN = re.compile(r"([0-9]{1,18}):([0-9]{1,18})(?::([0-9]{1,18}))?", re.ASCII)


class SkipForm(forms.Form):
    """Where to go on; in the address, so that a preview can be sent to a colleague."""

    to = forms.ChoiceField(
        choices=[("latest", "the end of the log"), ("time", "a time"), ("offset", "an offset")],
        label="Go on at",
    )
    value = forms.CharField(required=False, max_length=64, label="Time or offset", strip=True)

    @property
    def target(self) -> str:
        kind, value = self.cleaned_data["to"], self.cleaned_data["value"]
        return kind if kind == "latest" else f"{kind}:{value}"


@require_safe
@may_view
def halted(request: HttpRequest, name: str) -> HttpResponse:
    pipeline = _pipeline(name)
    every = halts.by_group([pipeline.group])[pipeline.group]
    chosen = _of_address(request, every)
    context: dict[str, Any] = {"pipeline": pipeline, "every": every, "chosen": chosen}
    if chosen:
        context |= _ways(request, chosen)
    return render(request, "pipelines/halts.html", context)


@require_POST
def decide(request: HttpRequest, name: str, decision: str) -> HttpResponse:
    """Refused, with the reason as a message, where anything isn't as the page showed it."""
    if decision not in Decision.values:
        raise Http404(f"{decision} is no way out of a halt")
    wanted = Decision(decision)
    if not request.user.has_perm(PERMISSIONS[wanted]):
        raise PermissionDenied
    pipeline = _pipeline(name)
    back = redirect("pipelines:halts", name=name)
    try:
        expected, skips = _confirmed(request, wanted)
        if wanted is Decision.SKIP:
            rows = list(PartitionHalt.objects.filter(pk__in=list(skips), group=pipeline.group))
            skipping.confirmed(skips, skipping.stands(rows))
        rows = halts.decide(
            pipeline=pipeline,
            decision=wanted,
            expected=expected,
            skips=skips or None,
            actor=request.user.get_username(),
            now=timezone.now(),
            reason=request.POST.get("reason", "").strip(),
        )
    except (HaltsMoved, NotHalted, WrongSkip, KafkaUnavailable) as error:
        messages.error(request, f"Nothing was changed. {error}")
        return back
    messages.success(request, _done(wanted, rows))
    return back


def _ways(request: HttpRequest, chosen: Sequence[PartitionHalt]) -> dict[str, Any]:
    """What the page says of each way out of these halts."""
    undecided = halts.standing(chosen)
    asked = request.GET if "to" in request.GET else None
    context: dict[str, Any] = {"undecided": undecided, "skip_form": SkipForm(asked, label_suffix="")}
    try:
        stands = skipping.stands(chosen)
    except KafkaUnavailable as error:
        context["kafka"] = str(error)
        stands = [HaltedPartition(row, None, None) for row in chosen]
    context["stands"] = stands
    open_stands = [one for one in stands if not one.halt.decision]
    waiting = [one.waiting for one in open_stands]
    context["waiting"] = None if None in waiting else sum(one or 0 for one in waiting)
    group, places = chosen[0].group, plural(len(undecided), "partition")
    wait = "An unknown number of records wait" if context["waiting"] is None else _wait(context["waiting"])
    context["resume_consequence"] = f"{places} of {group} go on where they stand. {wait} behind."
    context["letter_consequence"] = (
        f"{wait} in {places} of {group}: as many dead letters, if all of them fail. "
        "The breaker is off until the first record that is good."
    )
    context["chosen_fields"] = _fields(f"{row.pk}:{row.offset}" for row in undecided)
    form = context["skip_form"]
    if asked is not None and open_stands and form.is_valid():
        try:
            plan = skipping.preview(skipping.target(form.target), open_stands)
        except (WrongSkip, KafkaUnavailable) as error:
            form.add_error("value", str(error).removeprefix("to: "))
        else:
            skipped = sum(one.skipped for one in plan)
            context |= {
                "plan": plan,
                "skipped": skipped,
                "phrase": f"skip {skipped}",
                "skip_consequence": f"{plural(skipped, 'record')} of {plural(len(plan), 'partition')} will "
                f"never be processed by {group}. This can't be undone; the audit log keeps the offsets.",
                "skip_fields": _fields(f"{one.halt.pk}:{one.halt.offset}:{one.to}" for one in plan),
            }
    return context


def _of_address(request: HttpRequest, every: Sequence[PartitionHalt]) -> list[PartitionHalt]:
    """The halts that the address names by their partition; all where it names none."""
    named = set(request.GET.getlist("partition"))
    return [row for row in every if not named or row.place in named]


def _confirmed(request: HttpRequest, wanted: PartitionHalt.Decision) -> tuple[dict[int, int], dict[int, int]]:
    """The halts as the page showed them, by id: where each stands, and where a skip of it leads.

    Raises `HaltsMoved` for a form that no page of ours sends.
    """
    expected: dict[int, int] = {}
    skips: dict[int, int] = {}
    for text in request.POST.getlist("halt")[:MAX_HALTS]:
        found = _CHOSEN.fullmatch(text)
        if found is None or (found[3] is not None) != (wanted is Decision.SKIP):
            raise HaltsMoved(f"halt: {text[:64]!r} names no halted partition")
        expected[int(found[1])] = int(found[2])
        if found[3] is not None:
            skips[int(found[1])] = int(found[3])
    if not expected:
        raise NotHalted("halt: no partition was chosen")
    if wanted is not Decision.RESUME and not request.POST.get("reason", "").strip():
        raise HaltsMoved("reason: say why; it is kept in the audit log")
    return expected, skips


def _wait(count: int) -> str:
    return f"{plural(count, 'record')} wait{'s' if count == 1 else ''}"


def _fields(values: Iterable[str]) -> SafeString:
    return format_html_join(
        "", '<input type="hidden" name="halt" value="{}">', ((value,) for value in values)
    )


def _done(decision: PartitionHalt.Decision, rows: Sequence[PartitionHalt]) -> str:
    which = rows[0].place if len(rows) == 1 else f"{len(rows)} partitions"
    if decision is Decision.SKIP:
        skipped = sum((row.skip_to or row.offset) - row.offset for row in rows)
        return f"{which}: {skipped:,} offsets are skipped, within a few seconds of a consumer holding them."
    if decision is Decision.DEAD_LETTER:
        return f"{which}: what fails becomes a dead letter until a record is good again."
    return f"{which}: goes on where it stands, within a few seconds."


def _pipeline(name: str) -> Pipeline:
    try:
        return services.find(name)
    except services.UnknownPipeline as error:
        raise Http404(str(error)) from error
