"""Sessions know where they are used from, and when they were used last."""

from __future__ import annotations

from django.conf import settings
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from gdsconsole.people.lifetime import is_use
from gdsconsole.people.sessions import Origin, SessionStore
from gdsconsole.web.client_address import client_address


class Sessions(SessionMiddleware):
    def process_request(self, request: HttpRequest) -> None:
        key = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
        agent = request.META.get("HTTP_USER_AGENT", "")
        readable = "".join(one for one in agent if one.isprintable())
        request.session = SessionStore(key, origin=Origin(client_address(request), readable[:300]))

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        session = getattr(request, "session", None)
        if isinstance(session, SessionStore) and is_use(
            method=request.method, is_htmx="HX-Request" in request.headers
        ):
            session.seen(now=timezone.now())
        return super().process_response(request, response)
