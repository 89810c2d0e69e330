"""Back shows the page, not the part of it that was read again last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.browser import pages

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.redis, pytest.mark.django_db(transaction=True)]


def test_every_page_is_whole_when_one_comes_back(
    chrome: Browser,
    live_server: Any,
    session_cookie: Any,
) -> None:
    context = chrome.new_context(base_url=live_server.url)
    context.add_cookies([session_cookie])
    page = context.new_page()
    for place in pages.NAVIGATION:
        page.goto(place.path())
        parts = page.locator("main [hx-trigger*='live:sync']")
        if parts.count():
            own = page.url
            with page.expect_response(lambda answer: "hx-request" in answer.request.headers):
                page.evaluate("htmx.trigger(document.body, 'live:sync')")
            page.wait_for_load_state("networkidle")
            page.goto("/rules/" if place.path() != "/rules/" else "/topics/")
            page.go_back()
            assert page.url == own
            assert page.locator("link[rel=stylesheet]").count() > 5, place.name
            assert page.locator("#nav").is_visible(), place.name
    context.close()
