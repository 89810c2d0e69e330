"""Pages of a topic's records: where is that record?"""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_safe

from gdsconsole.audit import payload_views
from gdsconsole.kafka.browsing.record_scan import KEPT_BYTES, FoundRecord
from gdsconsole.kafka.errors import KafkaUnavailable, UnknownTopic
from gdsconsole.kafka.timestamps import stamp_ms
from gdsconsole.text.content import PREVIEW_BYTES, header_rows, one_line
from topics.definitions.views import may_view
from topics.messages.forms import LARGEST_OFFSET, MessagesForm, positions_text
from topics.messages.search import OneRecord, SearchQuery, SearchResult, TooMany, headline, look, read_one
from topics.models import TopicDefinition

KEY_CHARACTERS = 60
# Fewer than are kept of a value by as much as its longest characters take, so that none is cut in two.
VALUE_CHARACTERS = KEPT_BYTES // 4 - 10
LARGEST_PARTITION = 2**31 - 1
# An address can't be of any length: a topic of more partitions is paged one partition at a time.
MOST_PLACES_CHARACTERS = 4_000
SPANS = (("5m", "5 m"), ("1h", "1 h"), ("24h", "24 h"))


@require_safe
@may_view
def messages(request: HttpRequest, name: str) -> HttpResponse:
    definition = get_object_or_404(TopicDefinition, name=name)
    form = MessagesForm(request.GET)
    is_paged = bool(request.GET.get("after") or request.GET.get("before"))
    context: dict[str, Any] = {
        "definition": definition,
        "problems": form.problems,
        "spans": SPANS,
        # The beginning that the page shows, not one that it was paged away from.
        "since": "" if is_paged else request.GET.get("since", ""),
        "partitions": range(definition.partitions),
        "follows": "follow" in request.GET,
    }
    if form.problems:
        return render(request, "topics/messages/list.html", context, status=400)
    context |= _looked_at(_wanted(name, form))
    if context.get("rows"):
        _say_looked_through(request, name, context)
    template = "topics/messages/_rows.html" if request.htmx else "topics/messages/list.html"  # type: ignore[attr-defined]
    return render(request, template, context)


@require_safe
@may_view
def message(request: HttpRequest, name: str, partition: int, offset: int) -> HttpResponse:
    definition = get_object_or_404(TopicDefinition, name=name)
    context: dict[str, Any] = {"definition": definition, "partition": partition, "offset": offset}
    try:
        found = _read(name, partition, offset)
    except (KafkaUnavailable, UnknownTopic) as error:
        context["error"] = str(error)
        return render(request, "topics/messages/message.html", context)
    if found is not None:
        content = found.record.value()
        payload_views.viewed(**_place(request, "viewed", name, partition, offset))
        context |= {
            "one": found,
            "key": found.record.key(),
            "written_ms": stamp_ms(found.record),
            "value": content,
            "is_cut": content is not None and len(content) > PREVIEW_BYTES,
            "headers": header_rows(found.headers),
        }
    return render(request, "topics/messages/message.html", context, status=200 if found is not None else 404)


@require_safe
@may_view
def value(request: HttpRequest, name: str, partition: int, offset: int) -> HttpResponse:
    """The whole value, as a file: no browser may take it for a page."""
    get_object_or_404(TopicDefinition, name=name)
    try:
        found = _read(name, partition, offset)
    except KafkaUnavailable as error:
        return HttpResponse(f"{error}\n", status=503, content_type="text/plain; charset=utf-8")
    except UnknownTopic as error:
        raise Http404(str(error)) from error
    content = found.record.value() if found is not None else None
    if content is None:
        raise Http404("no such record, or one without a value")
    payload_views.downloaded(**_place(request, "downloaded", name, partition, offset))
    response = HttpResponse(content, content_type="application/octet-stream")
    filename = f"{name}-{partition}-{offset}.bin"
    response["Content-Disposition"] = content_disposition_header(True, filename) or ""
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _place(request: HttpRequest, did: str, name: str, partition: int, offset: int) -> payload_views.Entry:
    record = f"record {name}-{partition}@{offset}"
    return {
        "actor": request.user.get_username(),
        "sentence": f"{did} {record}",
        "target": record,
        "target_url": reverse("topics:message", args=[name, partition, offset]),
        "now": timezone.now(),
    }


def _say_looked_through(request: HttpRequest, name: str, context: dict[str, Any]) -> None:
    """One entry for a page of the list; whoever follows the newest has one for all that come."""
    positions = payload_views.offsets(
        (row["found"].partition, row["found"].offset) for row in context["rows"]
    )
    follows = context["follows"] and context["is_newest"]
    payload_views.viewed(
        actor=request.user.get_username(),
        sentence=f"followed topic {name}" if follows else f"read topic {name}: {positions}",
        target=name,
        target_url=reverse("topics:messages", args=[name]),
        now=timezone.now(),
    )


def _read(name: str, partition: int, offset: int) -> OneRecord | None:
    if partition > LARGEST_PARTITION or offset > LARGEST_OFFSET:
        return None
    return read_one(name, partition, offset)


def _wanted(name: str, form: MessagesForm) -> SearchQuery:
    asked = form.cleaned_data
    return SearchQuery(
        topic=name,
        partition=asked["partition"],
        offset=asked["offset"],
        since=asked["since"],
        text=asked["q"],
        before=asked["before"],
        after=asked["after"],
    )


def _looked_at(wanted: SearchQuery) -> dict[str, Any]:
    try:
        looked = look(wanted)
    except (KafkaUnavailable, UnknownTopic, TooMany) as error:
        return {"error": str(error)}
    older, newer = _address(looked.scan.older), _address(looked.scan.newer)
    return {
        "looked": looked,
        "partitions": range(looked.partitions),
        "headline": headline(wanted, looked),
        "goes_back": wanted.goes_back,
        "is_newest": wanted.goes_back and not wanted.before,
        "rows": [_row(found) for found in looked.scan.found],
        "older": older,
        "newer": newer,
        "is_too_wide": (looked.scan.older and not older) or (looked.scan.newer and not newer),
        "unread": _unread(looked),
        "late": ", ".join(str(number) for number in sorted(looked.scan.late)),
    }


def _address(positions: Any) -> str:
    text = positions_text(positions) if positions else ""
    return text if len(text) <= MOST_PLACES_CHARACTERS else ""


def _unread(looked: SearchResult) -> str:
    numbers = ", ".join(str(number) for number in sorted(looked.unread))
    return f"{numbers}: {'; '.join(sorted(set(looked.unread.values())))}" if numbers else ""


def _row(found: FoundRecord) -> dict[str, Any]:
    return {
        "found": found,
        "key": one_line(found.key, limit=KEY_CHARACTERS),
        "value": one_line(found.value, limit=VALUE_CHARACTERS),
    }
