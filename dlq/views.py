"""Pages of the dead letters. Reading is here; deciding is in `decision_views`."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_safe

from dlq import selectors
from dlq.decisions import REPLAY_LIMIT
from dlq.filters import ANY, OPEN, STATE_CHOICES, DeadLetterFilter, filtered
from dlq.models import OPEN_STATES, DeadLetter, ReplayItem, ReplayRun
from dlq.payload_audit import letter_entry
from dlq.services import discard_refusal, replay_refusal
from gdsconsole.audit import payload_views
from gdsconsole.text.content import header_rows, one_line
from gdsconsole.text.visible import visible
from gdsconsole.web.filters import status_of
from gdsconsole.web.permissions import permission_required
from topics.models import TopicDefinition

PAGE_ROWS = 50
SPANS = (("1h", "Last hour"), ("24h", "Last 24 hours"), ("7d", "Last 7 days"))
OVERRIDE = format_html('<input type="hidden" name="over_limit" value="{}">', "on")

may_view = permission_required("dlq.view_deadletter")


@require_safe
@may_view
def letters(request: HttpRequest) -> HttpResponse:
    wanted = wanted_letters(request)
    # Without the state, so that its tabs count what each of them would show.
    counts = _state_counts(request)
    context: dict[str, Any] = {
        "filter": wanted,
        "state": wanted.data["state"],
        "states": [
            {"value": value, "label": label, "count": counts[value]}
            for value, label in STATE_CHOICES
            if counts[value] or value in {OPEN, ANY, wanted.data["state"]}
        ],
        "sort": "-last_failed_at",
        "has_letters": counts[ANY] > 0,
        "is_narrowed": any(value for name, value in request.GET.items() if name not in {"sort", "page"}),
    }
    if not wanted.problems:
        page = Paginator(wanted.qs, PAGE_ROWS).get_page(request.GET.get("page"))
        context |= {
            "page": page,
            "rows": [_row(letter) for letter in page],
            "selection_query": _selection_query(request),
        }
    if request.htmx:  # type: ignore[attr-defined]  # set by django-htmx
        return render(request, "dlq/_rows.html", context)
    since = request.GET.get("since", "")
    context |= {
        "choices": selectors.choices(),
        "spans": SPANS,
        "other_since": since if since not in dict(SPANS) else "",
        **_summary(request),
    }
    return render(request, "dlq/list.html", context, status=status_of(request, wanted.problems))


@require_safe
@may_view
def causes(request: HttpRequest) -> HttpResponse:
    """The head of the list, for a page that re-reads it."""
    return render(request, "dlq/_causes.html", _summary(request))


@require_safe
@may_view
def letter(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(DeadLetter, pk=pk)
    payload_views.viewed(**letter_entry(found, "viewed", actor=request.user.get_username()))
    newest = ReplayItem.objects.filter(dead_letter=found).select_related("run").order_by("-pk").first()
    context = {
        "letter": found,
        "key": _bytes(found.key),
        "headers": header_rows(found.header_pairs()),
        "value": _bytes(found.value),
        "events": found.events.order_by("-pk"),
        "replay": newest,
        "headline": selectors.headline_of(found),
        "origin_is_declared": TopicDefinition.objects.filter(name=found.topic or "").exists(),
        "same_cause": DeadLetter.objects.open().filter(cause=found.cause).exclude(pk=found.pk).count(),
        "expires_soon": selectors.expires_soon(found, now=timezone.now()),
        "expiry_title": selectors.expiry_title(found, now=timezone.now()),
        "failed_again_title": selectors.failed_again_title(newest),
        "failed_again_text": selectors.failed_again_text(newest),
        "replay_consequence": selectors.replay_consequence(found),
        "override": OVERRIDE,
        "replay_refusal": replay_refusal(found),
        "discard_refusal": discard_refusal(found),
        "is_worn": found.is_open and found.topic is not None and found.replay_count >= REPLAY_LIMIT,
        "worn_text": f"It was sent {found.replay_count} times and keeps coming back: mend its cause first.",
        "limit": REPLAY_LIMIT,
    }
    template = "dlq/_letter.html" if request.htmx else "dlq/letter.html"  # type: ignore[attr-defined]
    return render(request, template, context)


@require_safe
@may_view
def value(request: HttpRequest, pk: int) -> HttpResponse:
    """The whole value, as a file: no browser may take it for a page."""
    found = get_object_or_404(DeadLetter, pk=pk, value__isnull=False)
    payload_views.downloaded(**letter_entry(found, "downloaded", actor=request.user.get_username()))
    response = HttpResponse(_bytes(found.value), content_type="application/octet-stream")
    response["Content-Disposition"] = content_disposition_header(True, f"dead-letter-{found.pk}.bin") or ""
    response["X-Content-Type-Options"] = "nosniff"
    return response


@require_safe
@may_view
def run(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(ReplayRun, pk=pk)
    items = ReplayItem.objects.filter(run=found).select_related("dead_letter")
    items = items.defer("dead_letter__value", "dead_letter__headers").order_by("pk")
    page = Paginator(items, PAGE_ROWS).get_page(request.GET.get("page"))
    context = {
        "run": found,
        "page": page,
        "settled": found.replayed + found.failed,
        "share": (found.replayed + found.failed) / found.total,
        "failed_again": items.filter(failed_again_at__isnull=False).count(),
    }
    template = "dlq/_run.html" if request.htmx else "dlq/run.html"  # type: ignore[attr-defined]
    return render(request, template, context)


def wanted_letters(request: HttpRequest) -> DeadLetterFilter:
    """What the address asks for; letters that wait, unless it names a state."""
    data = request.GET.copy()
    data.setdefault("state", OPEN)
    return filtered(data)


def _summary(request: HttpRequest) -> dict[str, Any]:
    """The sentence and the causes of what waits, narrowed as the list is but for the cause itself."""
    data = request.GET.copy()
    for name in ("cause", "q", "sort", "page", "state"):
        data.pop(name, None)
    narrowing = any(data.values())
    query = data.urlencode()
    data["state"] = ANY
    wanted = filtered(data)
    if wanted.problems:
        return {"headline": "", "causes": [], "more_causes": 0, "chosen_cause": "", "causes_query": ""}
    letters = wanted.qs
    rows, number = selectors.cause_rows(letters.open(), now=timezone.now())
    return {
        "headline": selectors.headline(letters.counts(), rows, number, is_narrowed=narrowing),
        "causes": rows,
        "more_causes": number - len(rows),
        "chosen_cause": request.GET.get("cause", ""),
        "causes_query": f"{query}&" if query else "",
    }


def _state_counts(request: HttpRequest) -> dict[str, int]:
    data = request.GET.copy()
    data["state"] = ANY
    wanted = filtered(data)
    if wanted.problems:
        return dict.fromkeys((name for name, _ in STATE_CHOICES), 0)
    by_state: dict[str, int] = wanted.qs.counts()
    waiting = sum(by_state[state] for state in OPEN_STATES)
    return {OPEN: waiting, ANY: sum(by_state.values()), **by_state}


def _row(letter: DeadLetter) -> dict[str, Any]:
    return {
        "letter": letter,
        "key": one_line(_bytes(letter.key), limit=32),
        "error": visible(" ".join(letter.error.split())[:160]),
        "selectable": letter.is_open,
    }


def _selection_query(request: HttpRequest) -> str:
    """The list's filters for a page that acts on all it shows; not its page, nor its order."""
    data = request.GET.copy()
    data.setdefault("state", OPEN)
    for name in ("page", "sort"):
        data.pop(name, None)
    return data.urlencode()


def _bytes(content: bytes | memoryview | None) -> bytes | None:
    return None if content is None else bytes(content)
