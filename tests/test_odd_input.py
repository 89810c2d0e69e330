"""What is no answer's fault: 400 with a line that names the word and its value, 404, and never 500."""

from __future__ import annotations

import html
from collections.abc import Callable
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.test import Client

from gdsconsole.web.moments import MomentField

pytestmark = pytest.mark.django_db


@pytest.fixture
def boss(redis_url: str) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client


@pytest.mark.parametrize(
    ("path", "word", "value"),
    [
        ("/audit/", "since", "0001-01-01T00:00:00+23:59"),
        ("/audit/", "until", "9999-12-31T23:59:59-23:59"),
        ("/dlq/", "since", "0001-01-01T00:00:00+00:01"),
        ("/dlq/", "until", "9999-12-31T23:59:59.999999-00:01"),
        ("/alerts/", "rule", "9" * 19),
        ("/alerts/", "severity", "\U0001f642"),
        ("/lag/", "status", "odd"),
        ("/topics/", "sort", "odd"),
        ("/lag/", "q", "a\0b"),
        ("/admin/auth/user/", "date_joined__year", "9" * 19),
        ("/admin/auth/user/", "date_joined__year", "1" + "0" * 30),
        ("/admin/auth/user/", "date_joined__gte", "0001-01-01T00:00:00+23:59"),
        ("/admin/auth/user/", "id__range", "1"),
        ("/admin/auth/user/", "username__regex", "("),
        ("/admin/auth/user/", "nothing__exact", "1"),
        ("/admin/auth/group/1/change/", "_to_field", "odd"),
    ],
)
def test_a_word_that_cannot_be_read_is_told(boss: Client, path: str, word: str, value: str) -> None:
    response = boss.get(f"{path}?{urlencode({word: value})}")
    page = html.unescape(response.content.decode())
    assert response.status_code == 400, page[:200]
    assert word in page
    assert value in page or ascii(value)[1:40].rstrip("'") in page


@pytest.mark.parametrize(
    "path", ["/lag/a%00b/", "/topics/a%00/", "/topics/%00/messages/", "/admin/auth/user/%00/change/"]
)
def test_a_nul_in_a_path(boss: Client, path: str) -> None:
    assert boss.get(path, follow=True).status_code in (200, 400, 404)


@pytest.mark.parametrize("path", ["/alerts/{}/", "/dlq/{}/", "/dlq/runs/{}/", "/admin/auth/user/{}/history/"])
@pytest.mark.parametrize("number", ["1" + "0" * 30, "9" * 19, "9" * 5_000])
def test_ids_that_no_row_can_have(boss: Client, path: str, number: str) -> None:
    assert boss.get(path.format(number), follow=True).status_code in (200, 404)


def test_selected_rows_of_the_admin_that_are_none(boss: Client) -> None:
    sent = {"action": "delete_selected", "_selected_action": "many", "index": "0"}
    response = boss.post("/admin/auth/group/", sent)
    assert response.status_code == 400
    assert "_selected_action" in response.content.decode()


@pytest.mark.parametrize("back", ["0", "odd", "admin:index", "two\r\nlines", "//evil.example", "x" * 20_000])
def test_where_to_go_back_to_is_an_address_and_no_name(boss: Client, back: str) -> None:
    for response in (
        boss.post("/alerts/acknowledge/", {"id": "1", "next": back}),
        boss.get("/admin/login/", {"next": back}),
    ):
        assert response.status_code in (302, 400)
        assert "evil" not in response.get("Location", "")


def test_a_part_of_a_page_shows_what_is_wrong_with_its_filters(
    client_of: Callable[[str], Client], redis_url: str
) -> None:
    """htmx swaps nothing in that is not 200."""
    response = client_of("viewer").get("/lag/?status=odd", headers={"HX-Request": "true"})
    assert (response.status_code, "status" in response.content.decode()) == (200, True)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"])
def test_a_time_beyond_the_calendar_is_none(text: str) -> None:
    with pytest.raises(Exception, match="is neither a time such as"):
        MomentField().clean(text)
    assert MomentField().clean("0001-01-01T00:00:00Z").year == 1
