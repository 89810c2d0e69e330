"""Every answer keeps the console to itself: pages, redirects, refusals, errors and files."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client, override_settings
from django.urls import path

from gdsconsole.urls import urlpatterns as ordinary
from gdsconsole.web.isolation import HEADERS

pytestmark = pytest.mark.django_db


def broken(request: object) -> None:
    raise RuntimeError("a fault of our own")


urlpatterns = [path("broken/", broken), *ordinary]


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/login/", 200),
        ("/healthz", 200),
        ("/static/css/base.css", 200),
        ("/static/nothing.css", 404),
        ("/alerts/", 302),
        ("/nothing/there/", 404),
        ("/broken/", 500),
    ],
)
def test_every_answer_has_the_headers(client_of: Callable[[str], Client], address: str, status: int) -> None:
    client = client_of("admin" if address == "/broken/" else "anonymous")
    client.raise_request_exception = False
    with override_settings(ROOT_URLCONF="tests.web.test_isolation", WHITENOISE_USE_FINDERS=True):
        response = client.get(address)
    assert response.status_code == status
    assert {name: response.headers.get(name) for name in HEADERS} == HEADERS
    assert "Access-Control-Allow-Origin" not in response.headers


def test_neither_a_wrong_host_nor_a_missing_token_goes_without() -> None:
    client = Client(enforce_csrf_checks=True)
    for response in (client.get("/login/", headers={"host": "elsewhere.example"}), client.post("/login/")):
        assert response.status_code in (400, 403)
        assert {name: response.headers.get(name) for name in HEADERS} == HEADERS


def test_the_policy_names_what_a_page_may_not_use() -> None:
    policy = HEADERS["Permissions-Policy"]
    for refused in ("camera=()", "microphone=()", "geolocation=()", "payment=()", "usb=()"):
        assert refused in policy
    assert "clipboard-write=(self)" in policy
