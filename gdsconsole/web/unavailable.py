"""What a request is answered that the database can't, or won't, serve.

An outage is 503: the cause, and when to ask again. Nothing for it reads the database, the session or the
user: whoever asks is told, whatever is away. A value of the request that the database refuses is 400.
"""

from __future__ import annotations

import logging
import sys
from typing import Any
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.template.loader import get_template
from django.utils.deprecation import MiddlewareMixin
from django.utils.http import url_has_allowed_host_and_scheme
from django.views import defaults

from gdsconsole.database.outages import Cause, Outage, outage_of
from gdsconsole.database.refusals import refusal_of
from gdsconsole.database.timeouts import patience

log = logging.getLogger(__name__)

RETRY_AFTER_S = 5
# What became of something that was sent takes longer to read.
READ_IN_S = 15
_SAFE = {"GET", "HEAD", "OPTIONS", "TRACE"}


class DatabaseTold(MiddlewareMixin):
    """For what a view or its template meets; `server_error` is for what another middleware meets."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        return _told(request, exception)


def server_error(request: HttpRequest) -> HttpResponseBase:
    """The handler of what nobody caught: an outage is told as one, anything else is our fault."""
    return _told(request, sys.exc_info()[1]) or defaults.server_error(request)


def _told(request: HttpRequest, error: BaseException | None) -> HttpResponse | None:
    """The answer to an outage, or to input of this very request that was refused."""
    outage = outage_of(error)
    if outage is not None:
        return answer(request, outage)
    refusal = refusal_of(error)
    told = refusal.told(_given(request)) if refusal is not None else None
    return None if told is None else refused(request, told)


def _given(request: HttpRequest) -> dict[str, Any]:
    """What the request says: the query, the form, and the parts of its address."""
    parts = request.resolver_match.kwargs if request.resolver_match else {}
    return {**parts, **dict(request.GET.lists()), **dict(request.POST.lists())}


def refused(request: HttpRequest, told: str) -> HttpResponse:
    """400 with a line that names the field, the value and the rule."""
    log.warning("%s %s: %s", request.method, request.path, told)
    response: HttpResponse
    if _wants_json(request):
        response = JsonResponse({"error": told}, status=400)
    else:
        response = HttpResponse(get_template("400.html").render({"told": told}), status=400)
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


def answer(request: HttpRequest, outage: Outage) -> HttpResponse:
    """503 as a page, to htmx as its part alone, to a program as JSON; each says when to ask again."""
    patience.lost()
    log.warning("%s %s: %s", request.method, request.path, outage.line)
    response: HttpResponse
    if _wants_json(request):
        told = {"error": "database", "cause": outage.cause.value, "advice": outage.advice}
        response = JsonResponse({**told, "retry_after_s": RETRY_AFTER_S})
    else:
        is_part = request.headers.get("HX-Request") == "true"
        context = {
            "outage": outage,
            "is_part": is_part,
            "retry_after_s": RETRY_AFTER_S if request.method in _SAFE else READ_IN_S,
            "retry_href": _again(request),
            "was_sent": request.method not in _SAFE,
            "is_certain": outage.cause is not Cause.DOWN,
        }
        response = HttpResponse(
            get_template("components/outage.html" if is_part else "503.html").render(context)
        )
    response.status_code = 503
    response.headers["Retry-After"] = str(RETRY_AFTER_S)
    response.headers["X-Outage"] = outage.cause.value
    response.headers["Cache-Control"] = "no-store"
    # It is in the log, once and without a traceback.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


def _wants_json(request: HttpRequest) -> bool:
    return request.get_preferred_type(["text/html", "application/json"]) == "application/json"


def _again(request: HttpRequest) -> str:
    """Where to ask again: the same address, or the page from which something was sent."""
    if request.method in _SAFE:
        return f"/{request.get_full_path().lstrip('/')}"
    came_from = request.headers.get("Referer", "")
    if not url_has_allowed_host_and_scheme(came_from, allowed_hosts={request.get_host()}):
        return "/"
    split = urlsplit(came_from)
    return f"/{split.path.lstrip('/')}" + (f"?{split.query}" if split.query else "")
