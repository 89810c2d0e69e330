"""The audit page: who may read what, and how the list is narrowed and paged."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from gdsconsole.audit.models import AuditEntry, Outcome
from gdsconsole.audit.selectors import headline_of, rows_of, slice_of
from tests.audit.making import make_entry, tamper

pytestmark = pytest.mark.django_db


def text_of(response: Any) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", response.content.decode())).split())


@pytest.mark.parametrize(
    ("role", "status"),
    [
        ("anonymous", 302),
        ("outsider", 403),
        ("viewer", 403),
        ("operator", 200),
        ("reviewer", 200),
        ("admin", 200),
    ],
)
def test_who_may_look(client_of: Callable[[str], Client], role: str, status: int):
    client = client_of(role)
    assert client.get("/audit/").status_code == status
    assert client.post("/audit/").status_code in (302, 405)


@pytest.mark.parametrize(("role", "sees"), [("operator", False), ("reviewer", False), ("admin", True)])
def test_sign_ins_and_refused_attempts_are_the_admins_to_read(
    client_of: Callable[[str], Client], role: str, sees: bool
):
    make_entry(actor="viewer", action="access.refused", sentence="tried POST /x/", outcome=Outcome.REFUSED)
    make_entry()
    client = client_of(role)
    for address in ("/audit/", "/audit/?action=access", "/audit/?actor=viewer", "/audit/?q=tried"):
        assert ("tried POST /x/" in text_of(client.get(address))) is sees, address
    assert ('value="access"' in client.get("/audit/").content.decode()) is sees
    assert "paused pipeline alerting" in text_of(client.get("/audit/"))


@pytest.mark.parametrize(("role", "shown"), [("viewer", False), ("operator", True)])
def test_the_navigation_has_it_for_those_who_may(client_of: Callable[[str], Client], role: str, shown: bool):
    assert ('data-page="Audit"' in client_of(role).get("/pipelines/").content.decode()) is shown


@pytest.fixture
def admin(client_of: Callable[[str], Client]) -> Client:
    return client_of("admin")


def test_an_entry_is_a_sentence_with_a_link(admin: Client):
    make_entry(reason="too loud", changes={"consumers": (1, 3), "owner": ("", "dba"), "gone": ("x", "")})
    response = admin.get("/audit/")
    assert re.search(
        r'<a\s+href="/pipelines/#pipeline-alerting"\s*>alerting</a\s*>', response.content.decode()
    )
    assert "operator paused pipeline alerting “too loud” consumers 1 → 3" in text_of(response)
    assert "owner dba" in text_of(response)


def test_a_target_elsewhere_is_no_link(admin: Client):
    make_entry(target_url="https://example.org/")
    make_entry(target_url="javascript:alert(1)")
    make_entry(target_url="//example.org/")
    make_entry(target_url="/\\example.org/")
    assert "example.org" not in admin.get("/audit/").content.decode()
    assert "javascript" not in admin.get("/audit/").content.decode()


def test_what_people_wrote_is_text(admin: Client):
    make_entry(actor="<b>x", sentence="paused <script>x</script>", target="<script>", reason="<img src=x>")
    page = admin.get("/audit/").content.decode()
    assert "<script>x" not in page
    assert "<img src=x>" not in page
    assert "<b>x" not in page


def test_filters_are_in_the_address(admin: Client):
    now = timezone.now()
    make_entry(now=now - timedelta(days=3), sentence="paused pipeline old")
    make_entry(
        now=now, actor="root", action="rule.add", sentence="added rule new", target="new", reason="asked"
    )
    expected = {
        "?actor=root": {"added rule new"},
        "?action=pipeline": {"paused pipeline old"},
        "?action=rule.add": {"added rule new"},
        "?action=rule.delete": set(),
        "?target=new": {"added rule new"},
        "?since=24h&actor=root": {"added rule new"},
        "?until=24h": {"paused pipeline old"},
        "?q=ASKED": {"added rule new"},
        "?outcome=failed": set(),
    }
    for query, sentences in expected.items():
        shown = {row.entry.sentence for row in admin.get(f"/audit/{query}").context.get("rows", [])}
        assert {one for one in shown if not one.startswith("signed in")} == sentences, query
    assert "Nobody did anything like that" in text_of(admin.get("/audit/?outcome=failed"))


def test_a_filter_that_cannot_be_read_is_named(admin: Client):
    assert "since 'yesterday': 'yesterday' is neither a time" in text_of(admin.get("/audit/?since=yesterday"))
    assert admin.get("/audit/?before=x&after=99999999999999999999").status_code == 200


def test_htmx_gets_the_rows_alone(admin: Client):
    page = admin.get("/audit/", headers={"HX-Request": "true"}).content.decode()
    assert page.startswith('<div id="audit-rows"')


def test_pages_are_kept_by_number_while_entries_are_added(admin: Client):
    for _ in range(7):
        make_entry()
    every = AuditEntry.objects.filter(action="pipeline.pause")

    def numbers(**where: int) -> list[int]:
        return [entry.number for entry in slice_of(every, size=3, **where).entries]

    newest = numbers()
    first = slice_of(every, size=3)
    assert (first.newer, first.older) == (None, newest[-1])
    second = slice_of(every, size=3, before=first.older)
    make_entry()
    assert [e.number for e in slice_of(every, size=3, before=first.older).entries] == [
        e.number for e in second.entries
    ]
    last = slice_of(every, size=3, before=second.older)
    assert (len(last.entries), last.older) == (1, None)
    assert [e.number for e in slice_of(every, size=3, after=last.newer).entries] == [
        e.number for e in second.entries
    ]
    # Back to the front: a page that would not be full is the first one.
    assert numbers(after=first.entries[0].number) == numbers()


def test_changed_rows_are_marked(admin: Client):
    number = make_entry().number
    make_entry()
    assert "changed afterwards" not in text_of(admin.get("/audit/"))
    tamper("UPDATE audit_auditentry SET actor = 'nobody' WHERE number = %s", number)
    page = text_of(admin.get("/audit/"))
    assert "Entries were changed after they were written" in page
    assert page.count("changed afterwards") == 1
    assert [row.is_broken for row in rows_of(tuple(AuditEntry.objects.filter(number=number)))] == [True]


@pytest.mark.parametrize(
    ("people", "done", "refused", "failed", "sentence"),
    [
        (0, 0, 0, 0, "Nobody did anything in the last 24 hours."),
        (1, 1, 0, 0, "One person did one thing in the last 24 hours."),
        (2, 1204, 1, 2, "2 people did 1,204 things, one attempt was refused, 2 failed in the last 24 hours."),
        (0, 0, 3, 0, "Nobody did anything, 3 attempts were refused in the last 24 hours."),
    ],
)
def test_the_headline(people: int, done: int, refused: int, failed: int, sentence: str):
    assert headline_of({"people": people, "done": done, "refused": refused, "failed": failed}) == sentence
