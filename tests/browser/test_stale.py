"""A page that nothing updates any more says so, stops moving, and takes no action until it is read again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client
from django.utils import timezone

from gdsconsole.pipelines.models import Pipeline
from tests.assembly.overview.stored import Published
from tests.browser import pages
from tests.browser.driving import open_live, opened_as

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route, WebSocketRoute

pytestmark = [pytest.mark.browser, pytest.mark.redis, pytest.mark.django_db(transaction=True)]


class Line:
    """Between the browser and the console: while it `hangs`, nothing comes through and nothing is refused."""

    def __init__(self, page: Page) -> None:
        self.hangs = False
        page.route("**/*", self._request)
        page.route_web_socket("**/ws/live/", self._socket)

    def _request(self, route: Route) -> None:
        if not self.hangs:
            route.continue_()

    def _socket(self, browser: WebSocketRoute) -> None:
        if self.hangs:
            return
        console = browser.connect_to_server()
        console.on_message(lambda frame: None if self.hangs else browser.send(frame))


@pytest.fixture
def page(chrome: Browser, site: str, redis_url: str, client_of: Callable[[str], Client]) -> Iterator[Page]:
    now = timezone.now()
    pages.fill(Published(redis_url, now), now=now)
    with opened_as(client_of("admin"), chrome, site) as opened:
        opened.clock.install()
        yield opened


def test_a_console_that_hangs_is_told_and_its_actions_are_off(page: Page) -> None:
    line = Line(page)
    open_read(page, "/pipelines/")
    pause = page.get_by_role("button", name="Pause").first
    assert pause.is_enabled()
    assert page.locator("#stale").is_hidden()

    line.hangs = True
    page.clock.fast_forward(13_000)

    page.locator("#stale").wait_for()
    told = page.locator("#stale").inner_text()
    assert "Not updated since" in told
    assert "The console does not answer" in told
    assert pause.is_disabled()
    assert "Off while the page is not updated" in (pause.get_attribute("title") or "")
    assert page.locator("#connection").get_attribute("data-state") == "offline"
    assert _motions(page) == set()

    line.hangs = False
    page.get_by_role("button", name="Try again").click()
    page.locator("#stale").wait_for(state="hidden")
    assert pause.is_enabled()
    assert not pause.get_attribute("title")


def test_enter_sends_no_form_of_a_page_that_is_old(page: Page) -> None:
    line = Line(page)
    open_read(page, "/pipelines/")
    before = dict(Pipeline.objects.values_list("name", "state"))

    line.hangs = True
    page.clock.fast_forward(13_000)
    page.locator("#stale").wait_for()
    line.hangs = False
    page.evaluate("document.querySelector('main form[method=post]').requestSubmit()")

    assert page.evaluate("window.isTheSame") is True
    assert dict(Pipeline.objects.values_list("name", "state")) == before


def test_the_overview_s_dots_stand_still_while_nothing_comes(page: Page) -> None:
    line = Line(page)
    open_read(page, "/")
    page.wait_for_selector(".flow-motion", state="attached")
    assert _motions(page)

    line.hangs = True
    page.clock.fast_forward(13_000)
    page.locator("#stale").wait_for()
    assert _motions(page) == set()


def test_re_reads_that_fail_are_told_though_the_socket_lives(page: Page) -> None:
    open_read(page, "/alerts/")
    page.evaluate("() => { window.fetch = async () => new Response('', {status: 503}) }")
    page.evaluate("htmx.trigger(document.body, 'live:sync')")
    wait_for_reads(page)
    page.clock.fast_forward(13_000)
    page.locator("#stale").wait_for()
    assert "The console answers 503" in page.locator("#stale").inner_text()


def test_without_a_network_it_is_told_sooner(page: Page) -> None:
    line = Line(page)
    open_read(page, "/lag/")
    line.hangs = True
    page.evaluate("Object.defineProperty(navigator, 'onLine', {get: () => false})")
    page.clock.fast_forward(7_000)
    page.locator("#stale").wait_for()
    assert "no network" in page.locator("#stale").inner_text()


def open_read(page: Page, path: str) -> None:
    """Open live, and let what is under way arrive: an answer after a jump in time would confirm the page."""
    open_live(page, path)
    wait_for_reads(page)


def wait_for_reads(page: Page) -> None:
    page.wait_for_selector(".htmx-request", state="detached")


def _motions(page: Page) -> set[Any]:
    """The names of the animations that run."""
    script = "document.getAnimations().filter(a => a.playState === 'running').map(a => a.animationName ?? '')"
    return set(page.evaluate(script))
