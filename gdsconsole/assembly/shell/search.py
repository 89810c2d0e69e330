"""What the command palette finds beside the pages: things by a part of their name, and acts upon them.

Each kind is asked for only of somebody who may see it, and answers with a few rows by one bounded query.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlencode

from django.db.models import Q
from django.urls import reverse

from dlq.models import DeadLetter
from gdsconsole.assembly.pipeline_catalog import CATALOG
from gdsconsole.pipelines.models import Pipeline
from gdsconsole.text.names import shown
from lag.models import GroupSample
from lag.rows import group_href
from topics.alerting.links import alerts_of_instance
from topics.models import Alert, AlertRule, TopicDefinition
from topics.models.metrics import MetricSeries

EACH = 6
LARGEST_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the palette: `href` is gone to, `action` is posted to."""

    kind: str
    label: str
    icon: str
    hint: str = ""
    href: str = ""
    action: str = ""


def search(text: str, has_permission: Callable[[str], bool]) -> list[Entry]:
    """What somebody with these permissions may find by a part of its name; nothing for an empty text."""
    text = text.strip()
    if not text:
        return []
    found: list[Entry] = []
    for permission, of_kind in _KINDS:
        if has_permission(permission):
            found += of_kind(text)
    return found


def _topics(text: str) -> Iterator[Entry]:
    names = (
        TopicDefinition.objects.filter(name__icontains=text).order_by("name").values_list("name", flat=True)
    )
    for name in names[:EACH]:
        yield Entry("topic", name, "layers", href=reverse("topics:topic", args=[name]))
    for name in names[: EACH // 2]:
        hint = "messages"
        yield Entry("topic", name, "file-text", hint, href=reverse("topics:messages", args=[name]))


def _groups(text: str) -> Iterator[Entry]:
    samples = GroupSample.objects.newest().filter(group__icontains=text).order_by("group")
    for group, status in samples.values_list("group", "status")[:EACH]:
        if href := group_href(group):
            yield Entry("group", shown(group), "gauge", status, href=href)


def _rules(text: str) -> Iterator[Entry]:
    rules = AlertRule.objects.filter(Q(name__icontains=text) | Q(metric_name__icontains=text)).order_by(
        "name"
    )
    for name, metric in rules.values_list("name", "metric_name")[:EACH]:
        href = f"{reverse('topics:rules')}?{urlencode({'q': name})}"
        yield Entry("rule", name, "sliders-horizontal", metric, href=href)


def _alerts(text: str) -> Iterator[Entry]:
    by_text = Q(subject__icontains=text) | Q(rule__name__icontains=text)
    if number := _number(text):
        by_text |= Q(pk=number)
    alerts = Alert.objects.filter(by_text).select_related("rule").worst_first()
    for alert in alerts[:EACH]:
        label = f"{alert.rule.name} on {alert.subject}"
        yield Entry("alert", label, "bell", alert.state, href=alert.get_absolute_url())


def _instances(text: str) -> Iterator[Entry]:
    series = MetricSeries.objects.filter(instance_id__icontains=text).order_by("instance_id")
    for instance in series.values_list("instance_id", flat=True).distinct()[:EACH]:
        yield Entry("instance", instance, "database", "its alerts", href=alerts_of_instance(instance))


def _letters(text: str) -> Iterator[Entry]:
    number = _number(text)
    if number and DeadLetter.objects.filter(pk=number).exists():
        yield Entry("dead letter", f"#{number}", "inbox", href=reverse("dlq:letter", args=[number]))


def _pipelines(text: str) -> Iterator[Entry]:
    page = reverse("pipelines:list")
    for name, spec in CATALOG.items():
        if _is_in(text, name, spec.group):
            yield Entry("pipeline", name, "workflow", spec.group, href=f"{page}#pipeline-{name}")


def _pipeline_acts(text: str) -> Iterator[Entry]:
    """Pausing asks first, in the page's own dialog; resuming takes nothing away from anybody."""
    page = reverse("pipelines:list")
    for name, state in Pipeline.objects.order_by("name").values_list("name", "state"):
        if state == Pipeline.State.RUNNING and _is_in(text, f"pause {name}"):
            yield Entry("action", f"Pause {name}…", "circle-pause", href=f"{page}#pause-{name}")
        elif state == Pipeline.State.PAUSED and _is_in(text, f"resume {name}"):
            yield Entry("action", f"Resume {name}", "play", action=reverse("pipelines:resume", args=[name]))


def _is_in(text: str, *names: str) -> bool:
    return any(text.lower() in name.lower() for name in names)


def _number(text: str) -> int | None:
    """An id, as `17` or `#17`."""
    digits = text.removeprefix("#")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 19):
        return None
    return int(digits) if 0 < int(digits) <= LARGEST_ID else None


_KINDS: tuple[tuple[str, Callable[[str], Iterable[Entry]]], ...] = (
    ("pipelines.view_pipeline", _pipelines),
    ("pipelines.control_pipeline", _pipeline_acts),
    ("topics.view_topicdefinition", _topics),
    ("lag.view_groupsample", _groups),
    ("topics.view_alertrule", _rules),
    ("topics.view_alert", _alerts),
    ("topics.view_topicdefinition", _instances),
    ("dlq.view_deadletter", _letters),
)
