"""Everybody can read and use every page, in light and in dark, on a desk and on a phone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.browser import pages
from tests.browser.accessibility import violations

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.redis, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("place", pages.PAGES, ids=lambda place: place.name)
def test_no_serious_violation(
    chrome: Browser, live_server: Any, session_cookie: Any, place: pages.Page, theme: Any
) -> None:
    context = chrome.new_context(
        base_url=live_server.url, color_scheme=theme, viewport={"width": 1440, "height": 900}
    )
    try:
        if not place.anonymous:
            context.add_cookies([session_cookie])
        tab = context.new_page()
        tab.goto(place.path())
        found = violations(tab)
        if theme == "light":
            # The narrow page has a drawer, other columns and other sizes; its colours are the same.
            tab.set_viewport_size({"width": 390, "height": 844})
            found += [f"at 390 px: {line}" for line in violations(tab) if line not in found]
    finally:
        context.close()
    assert found == []


def test_what_axe_finds_is_told(chrome: Browser) -> None:
    """Were the script not to run, every page would pass."""
    tab = chrome.new_page()
    tab.set_content("<html lang=en><title>t</title><main><h1>t</h1><img src=x><button></button></main>")
    assert sorted(line.split(":")[0] for line in violations(tab)) == [
        "critical button-name",
        "critical image-alt",
    ]
    tab.close()
