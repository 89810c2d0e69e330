"""Ctrl-K and the keyboard: to any page, thing or action without the mouse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from django.test import Client
from django.utils import timezone

from gdsconsole.pipelines.models import Pipeline
from tests.assembly.overview.stored import Published
from tests.browser import pages
from tests.browser.driving import open_live, opened_as
from tests.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.redis, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def page(chrome: Browser, site: str, redis_url: str, client_of: Callable[[str], Client]) -> Iterator[Page]:
    now = timezone.now()
    pages.fill(Published(redis_url, now), now=now)
    with opened_as(client_of("admin"), chrome, site) as opened:
        yield opened


def choose(page: Page, text: str, label: str) -> None:
    """Type into the palette and press Enter on the entry of that name."""
    page.keyboard.press("Control+k")
    page.keyboard.type(text)
    entry = page.locator(".palette-item", has_text=label).first
    entry.wait_for()
    wait_until(lambda: page.locator(".palette-item[role=status]").count() == 0, 5, "the search is over")
    options = page.locator(".palette-item[role=option]")
    for _ in range(options.count()):
        if label in page.locator(".palette-item[aria-selected=true]").inner_text():
            break
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")


@pytest.mark.parametrize(
    ("text", "label", "address"),
    [
        ("dead", "Dead letters", "**/dlq/"),
        ("gds.metrics.prod", "gds.metrics.production", "**/topics/gds.metrics.production/"),
        ("gds-late", "gds-late", "**/lag/gds-late/"),
        ("CPU", "CPU high on prod-db-01", "**/alerts/*/"),
        ("Slow", "Slow", "**/rules/?q=Slow"),
        ("wareh", "warehouse", "**/pipelines/#pipeline-warehouse"),
    ],
)
def test_it_goes_to_anything_by_a_part_of_its_name(page: Page, text: str, label: str, address: str) -> None:
    open_live(page, "/audit/")
    choose(page, text, label)
    page.wait_for_url(address)


def test_pausing_asks_first_and_resuming_does_it(page: Page) -> None:
    open_live(page, "/alerts/")
    choose(page, "pause wareh", "Pause warehouse…")
    page.wait_for_selector("dialog#pause-warehouse[open]")
    assert page.url.endswith("/pipelines/")
    assert Pipeline.objects.get(name="warehouse").state == Pipeline.State.RUNNING

    open_live(page, "/alerts/")
    choose(page, "resume dlq", "Resume dlq-index")
    page.wait_for_url("**/pipelines/")
    assert Pipeline.objects.get(name="dlq-index").state == Pipeline.State.RUNNING


def test_the_browser_s_own_actions(page: Page) -> None:
    open_live(page, "/rules/")
    choose(page, "dark", "Theme: dark")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    choose(page, "local", "Time zone: local")
    assert page.evaluate("document.documentElement.dataset.zone") == "local"
    choose(page, "shortcuts", "Keyboard shortcuts")
    page.wait_for_selector("dialog#keys[open]")
    page.keyboard.press("Escape")
    choose(page, "log out", "Log out")
    page.wait_for_url("**/login/**")


def test_a_search_that_fails_says_so(page: Page) -> None:
    open_live(page, "/rules/")
    # The search alone: a re-read of the page that fails too would be an error of its own in the console.
    page.evaluate("""() => {
      const search = document.getElementById('palette').dataset.search;
      const fetch = window.fetch;
      window.fetch = async (address, ...rest) => {
        if (String(address).startsWith(search)) throw new TypeError('away');
        return fetch(address, ...rest);
      };
    }""")
    page.keyboard.press("Control+k")
    page.keyboard.type("alerts")
    page.wait_for_selector(".palette-item:has-text('The console does not answer')")
    assert page.locator(".palette-item[role=option]").first.inner_text().startswith("Alerts")


def test_the_link_to_the_page_is_copied_with_its_filters(page: Page) -> None:
    open_live(page, "/rules/?severity=critical")
    page.get_by_role("button", name="Copy the link").click()
    page.wait_for_selector(".toast:has-text('Link copied')")
    page.keyboard.press("Control+k")
    page.keyboard.press("Control+v")
    assert page.locator("#palette input").input_value() == page.url


@pytest.mark.parametrize(
    "path", ["/", "/alerts/", "/rules/", "/topics/", "/dlq/", "/lag/", "/lag/gds-late/", "/audit/"]
)
def test_the_first_row_opens_with_the_keyboard(page: Page, path: str) -> None:
    open_live(page, path)
    page.keyboard.press("j")
    target = page.evaluate("document.activeElement.dataset.href")
    assert target, "j chooses a row that opens"
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{target.partition('#')[0]}*")
