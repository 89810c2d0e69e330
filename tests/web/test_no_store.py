"""No answer is kept anywhere, so that nobody sees an old page, another's, or a part of one."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.browser.pages import NAVIGATION

pytestmark = [pytest.mark.django_db, pytest.mark.redis]


@pytest.fixture
def root(client: Client, redis_url: str) -> Client:
    client.force_login(User.objects.create_superuser("root"))
    return client


@pytest.mark.parametrize("place", NAVIGATION, ids=lambda place: place.name)
@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}], ids=["page", "part"])
def test_a_page_and_its_parts_are_not_kept(root: Client, place: object, headers: dict[str, str]) -> None:
    response = root.get(place.path(), headers=headers)  # type: ignore[attr-defined]
    assert response.status_code == 200
    assert "no-store" in response.headers["Cache-Control"]
    assert "HX-Request" in response.headers["Vary"]


def test_neither_is_a_refusal(client: Client) -> None:
    assert client.get("/").headers["Cache-Control"] == "no-store"
    assert client.get("/nothing/there/").headers["Cache-Control"] == "no-store"
