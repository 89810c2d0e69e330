"""Who is behind a socket and what they may see, asked of session and database each time."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

from django.conf import settings
from django.contrib import auth
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest

from gdsconsole.live.events import allowed_types


@dataclass(frozen=True, slots=True)
class Grant:
    """A logged-in user and the event types they may see."""

    user_id: str
    allowed: frozenset[str]


def grant_of(session_key: str | None) -> Grant | None:
    """What this session's user may see now; None for nobody.

    Nothing is cached: the session and its age, the password it was made with, `is_active` and the
    permissions are read again by each call, so that a log-out, a demotion or a new password counts.
    """
    if not session_key:
        return None
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user = auth.get_user(request)
    if isinstance(user, AnonymousUser) or not user.is_active:
        return None
    return Grant(str(user.pk), allowed_types(user.has_perm))
