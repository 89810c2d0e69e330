"""The audit page: who did what?"""

from __future__ import annotations

import re
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from gdsconsole.audit.filters import AREAS, filtered
from gdsconsole.audit.models import ACCESS, READ, READ_ACCESS, AuditEntry, Outcome
from gdsconsole.audit.selectors import headline, rows_of, slice_of
from gdsconsole.audit.verification_status import checked
from gdsconsole.web.filters import status_of
from gdsconsole.web.permissions import permission_required

PAGE_ROWS = 50
SPANS = (("1h", "Last hour"), ("24h", "Last 24 hours"), ("7d", "Last 7 days"), ("30d", "Last 30 days"))
# What narrows the list without a field of its own in the filter bar.
_PINNED = ("actor", "target", "until")
_NUMBER = re.compile(r"[0-9]{1,18}")

may_read = permission_required(READ)


@require_safe
@may_read
def entries(request: HttpRequest) -> HttpResponse:
    visible = AuditEntry.objects.visible_to(request.user)
    wanted = filtered(request.GET, visible)
    since = request.GET.get("since", "")
    context: dict[str, Any] = {
        "problems": wanted.problems,
        "headline": headline(visible, now=timezone.now()),
        "is_narrowed": any(value for name, value in request.GET.items() if name in wanted.filters),
        "pinned": [(name, request.GET[name]) for name in _PINNED if request.GET.get(name)],
        "areas": [(area, label) for area, (label, _) in AREAS.items() if _may_see(request, area)],
        "area": request.GET.get("action", "").partition(".")[0],
        "outcomes": Outcome.choices,
        "spans": SPANS,
        "other_since": since if since not in dict(SPANS) else "",
    }
    if not wanted.problems:
        found = slice_of(
            wanted.qs, size=PAGE_ROWS, before=_number(request, "before"), after=_number(request, "after")
        )
        rows = rows_of(found.entries)
        context |= {"slice": found, "rows": rows, "broken": [row for row in rows if row.is_broken]}
    if request.htmx:  # type: ignore[attr-defined]  # set by django-htmx
        return render(request, "audit/_rows.html", context)
    context |= _verified()
    return render(request, "audit/list.html", context, status=status_of(request, wanted.problems))


@require_safe
@may_read
def verified(request: HttpRequest) -> HttpResponse:
    """Whether the log is what was written, for a page that is open."""
    return render(request, "audit/_verified.html", _verified())


def _verified() -> dict[str, Any]:
    return {"checked": checked(now=timezone.now())}


def _may_see(request: HttpRequest, area: str) -> bool:
    return area != ACCESS or request.user.has_perm(READ_ACCESS)


def _number(request: HttpRequest, name: str) -> int | None:
    text = request.GET.get(name, "")
    return int(text) if _NUMBER.fullmatch(text) else None
