"""The pages in a real browser: what a script could do, and what a reviewer does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client

from dlq import services
from dlq.models import DeadLetter, ReplayRun, pack_headers
from dlq.outcomes import ReplayRejected, record_unwritten
from tests.browser.driving import opened_as
from tests.dlq.test_views import HOSTILE, NOW
from tests.factories import make_dead_letter

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.redis, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def reviewer(client_of: Callable[[str], Client], chrome: Browser, site: str) -> Iterator[Page]:
    """A page with a reviewer logged in; it fails the test on any script error or breach of the policy."""
    with opened_as(client_of("reviewer"), chrome, site) as page:
        yield page


def test_no_message_becomes_markup(reviewer: Any) -> None:
    pages = ["/dlq/", "/dlq/?state=all", "/dlq/replay/", "/dlq/discard/"]
    for hostile in HOSTILE:
        letter = make_dead_letter(
            key=hostile.encode(), value=hostile.encode(), error=hostile, error_type=hostile[:200],
            group=hostile[:200], headers=pack_headers([(hostile, hostile.encode())]),
        )  # fmt: skip
        failed = make_dead_letter(error=hostile)
        run = services.start_replay(ids=[failed.pk], actor=hostile, now=NOW, reason=hostile).run
        record_unwritten([ReplayRejected(run.items.get().replay_id, hostile)], now=NOW)
        pages += [f"/dlq/{letter.pk}/", f"/dlq/{failed.pk}/", f"/dlq/runs/{run.pk}/"]
        pages += [f"/dlq/{letter.pk}/?view={view}" for view in ("json", "text", "hex")]
    for path in pages:
        reviewer.goto(path)
        reviewer.wait_for_function("window.htmx !== undefined")
        assert "owned" not in reviewer.title(), path
        assert reviewer.locator("main :is(script, iframe, img, svg[onload])").count() == 0, path


def test_a_reviewer_replays_a_frozen_selection(reviewer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlq.decision_views.enqueue_replay", lambda: True)
    letters = [make_dead_letter() for _ in range(3)]
    reviewer.goto("/dlq/")
    for letter in letters[:2]:
        reviewer.check(f"#letter-{letter.pk} input[name=id]")
    bar = reviewer.locator("[data-chosen]")
    assert "2 selected" in bar.inner_text()
    bar.get_by_role("button", name="Replay…").click()
    reviewer.wait_for_url("**/dlq/replay/**")
    button = reviewer.get_by_role("button", name="Replay 2")
    assert button.is_disabled()
    reviewer.fill("#confirm", "2")
    button.click()
    reviewer.wait_for_url("**/dlq/runs/*/")
    assert ReplayRun.objects.get().total == 2
    assert DeadLetter.objects.get(pk=letters[2].pk).state == "pending"


def test_a_double_click_on_replay_sends_once(reviewer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlq.decision_views.enqueue_replay", lambda: True)
    letter = make_dead_letter()
    reviewer.goto(f"/dlq/{letter.pk}/")
    reviewer.get_by_role("button", name="Replay…").click()
    reviewer.locator("#replay-dialog").get_by_role("button", name="Replay", exact=True).dblclick()
    reviewer.wait_for_selector(".badge:has-text('replaying')")
    assert ReplayRun.objects.count() == 1


def test_rows_stay_still_under_the_pointer(reviewer: Any) -> None:
    """A new letter waits behind a bar while someone is in the list, and keeps what is chosen."""
    first = make_dead_letter()
    reviewer.goto("/dlq/")
    reviewer.wait_for_function("window.htmx !== undefined")
    reviewer.check(f"#letter-{first.pk} input[name=id]")
    second = make_dead_letter()
    reviewer.evaluate("htmx.trigger(document.body, 'live:sync')")
    reviewer.wait_for_selector(".fresh-bar button:has-text('1 new')")
    assert reviewer.locator(f"#letter-{second.pk}").count() == 0
    reviewer.click(".fresh-bar button")
    reviewer.wait_for_selector(f"#letter-{second.pk}")
    assert reviewer.is_checked(f"#letter-{first.pk} input[name=id]")
    assert "1 selected" in reviewer.locator("[data-chosen]").inner_text()


def test_the_list_is_right_on_a_phone(reviewer: Any) -> None:
    for _ in range(3):
        make_dead_letter(error="x" * 300)
    reviewer.set_viewport_size({"width": 390, "height": 844})
    for path in ("/dlq/", f"/dlq/{DeadLetter.objects.first().pk}/", "/dlq/replay/"):  # type: ignore[union-attr]
        reviewer.goto(path)
        overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert reviewer.evaluate(overflow) == 0, path
