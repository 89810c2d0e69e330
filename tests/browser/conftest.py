"""A browser for the tests of one file, and somebody logged in who may see everything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from tests.assembly.overview.stored import Published
from tests.browser import pages

if TYPE_CHECKING:
    pass


@pytest.fixture
def session_cookie(live_server: Any, redis_url: str, settings: Any) -> dict[str, str]:
    """Of somebody who may see every page of a console that has something to show."""
    now = timezone.now()
    pages.fill(Published(redis_url, now), now=now)
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    name = settings.SESSION_COOKIE_NAME
    return {"name": name, "value": client.cookies[name].value, "url": live_server.url}
