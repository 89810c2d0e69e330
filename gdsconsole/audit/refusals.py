"""Records what somebody who is logged in tried to change and may not."""

from __future__ import annotations

import logging

from django.db import DatabaseError
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url
from django.utils import timezone
from django.utils.deprecation import MiddlewareMixin

from gdsconsole.audit.attempts import record_refusal

log = logging.getLogger(__name__)

REFUSED = "access.refused"
_SAFE = {"GET", "HEAD", "OPTIONS", "TRACE"}
_ADMIN_LOGIN = "admin:login"


class AuditRefusals(MiddlewareMixin):
    """After AuthenticationMiddleware. A request that only reads costs nothing here."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if request.method in _SAFE or not _is_refusal(response) or not request.user.is_authenticated:
            return response
        try:
            record_refusal(
                actor=request.user.get_username(),
                action=REFUSED,
                sentence=f"tried {request.method} {request.path}",
                target=request.path,
                now=timezone.now(),
            )
        except DatabaseError:
            # It stays refused, and the process' log has it.
            log.exception("%s was refused %s %s", request.user, request.method, request.path)
        return response


def _is_refusal(response: HttpResponseBase) -> bool:
    if response.status_code == 403:
        return True
    # The admin sends somebody who is not staff to its own log-in.
    return response.status_code == 302 and response.get("Location", "").startswith(resolve_url(_ADMIN_LOGIN))
