"""What people write into the addresses of Django's admin.

The admin hands what its addresses say to the database as it comes, with any lookup: it takes those that its
own pages use, and what Django fails to read there is 400, with the words and values that were given.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import django
from django.contrib.admin.views.main import ERROR_FLAG
from django.core.exceptions import FieldDoesNotExist, SuspiciousOperation
from django.db import ProgrammingError
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

from gdsconsole.database.refusals import shown
from gdsconsole.web.unavailable import refused

log = logging.getLogger(__name__)

_LOOKUPS = frozenset(
    {"exact", "isnull", "in", "gt", "gte", "lt", "lte", "date", "year", "month", "day", "icontains"}
)
# Django's own, while it reads what an address says; SQLite calls too few values a programming error.
_UNREAD = (ValueError, OverflowError, IndexError, FieldDoesNotExist, ProgrammingError, SuspiciousOperation)
_DJANGO = str(Path(django.__file__).parent)


class AdminInput(MiddlewareMixin):
    """Inside of what tells refusals of the database, which are not looked at here."""

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: Any, kwargs: Any
    ) -> HttpResponseBase | None:
        if not hasattr(view, "model_admin"):
            return None
        for name, value in request.GET.items():
            asked = name.split("__")[1:]
            if asked and asked[-1] not in _LOOKUPS and not _is_field(view.model_admin.model, name):
                return refused(request, f"{name}: {shown(value)} is refused: no list is filtered so")
        return None

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        if not (_is_admins(request) and isinstance(exception, _UNREAD) and _is_djangos(exception)):
            return None
        log.warning("%s %s can't be read", request.method, request.path, exc_info=exception)
        return _unread(request, str(exception) or type(exception).__name__)

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """The admin sends on to the whole list whoever asks for a part of it that it can't read."""
        sent_to = response.get("Location", "") if response.status_code == 302 else ""
        if sent_to and sent_to == f"{request.path}?{ERROR_FLAG}=1" and _is_admins(request):
            return _unread(request, "this list can't be filtered so")
        return response


def _unread(request: HttpRequest, why: str) -> HttpResponseBase:
    parts = request.resolver_match.kwargs if request.resolver_match else {}
    given = [*((name, str(value)) for name, value in parts.items()), *_given(request)]
    told = ", ".join(f"{name} {shown(value)}" for name, value in given[:4] if name != "csrfmiddlewaretoken")
    return refused(request, f"{told}: {why[:200]}")


def _given(request: HttpRequest) -> Iterator[tuple[str, str]]:
    """The words and values of the query and the form."""
    for query in (request.GET, request.POST):
        for name, values in query.lists():
            yield from ((name, str(value)) for value in values)


def _is_admins(request: HttpRequest) -> bool:
    return request.resolver_match is not None and hasattr(request.resolver_match.func, "model_admin")


def _is_djangos(error: Exception) -> bool:
    """Whether Django itself failed, rather than the console's own code that it called."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return frame is not None and frame.tb_frame.f_code.co_filename.startswith(_DJANGO)


def _is_field(model: Any, name: str) -> bool:
    """Whether the last word names a field, as in `rule__name`, and no lookup."""
    try:
        for word in name.split("__"):
            field = model._meta.get_field(word)
            model = field.related_model
    except (FieldDoesNotExist, AttributeError):
        return False
    return True
