"""A whole running console in a real browser: a metric becomes an alert on a page that is open."""

from __future__ import annotations

import json
import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psutil
import pytest

from gdsconsole.devstack import run_state
from tests.browser import driving
from tests.running_console import RunningConsole
from tests.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.console]

LOG = logging.getLogger(__name__)
TOPIC = "gds.metrics.production"
# When the page first showed a text in one of its parts, by the browser's clock.
WATCH = """([part, text]) => {
  const look = () => {
    if (document.querySelector(part).textContent.includes(text)) window.__seen ??= Date.now();
  };
  window.__seen = undefined;
  new MutationObserver(look).observe(document.body, { childList: true, subtree: true, characterData: true });
  look();
}"""


@pytest.fixture
def wrong() -> list[str]:
    """What goes wrong in the page; a test that takes its server away removes what it caused."""
    return []


def forgive_outage(wrong: list[str]) -> None:
    caused = ("net::ERR_", "WebSocket connection", "Failed to fetch")
    wrong[:] = [line for line in wrong if not any(word in line for word in caused)]


@pytest.fixture
def overview(chrome: Browser, console: RunningConsole, wrong: list[str]) -> Iterator[Page]:
    """The overview, live, with an operator logged in; anything that goes wrong in it fails the test."""
    context = chrome.new_context(base_url=console.url, viewport={"width": 1440, "height": 900})
    # What has no limit of its own may take as long as a busy machine needs.
    context.set_default_timeout(60_000)
    page = context.new_page()
    driving.watch(page, wrong)
    try:
        driving.log_in(page, "operator", console.users["operator"])
        page.wait_for_selector("#connection[data-state=live]")
        # It would be gone after a reload.
        page.evaluate("window.__same = true")
        yield page
        assert page.evaluate("window.__same") is True
    finally:
        context.close()
    assert wrong == []


def metric(instance: str, value: float) -> str:
    fields = {
        "timestamp": datetime.now(UTC).isoformat(),
        "database_type": "postgresql",
        "instance_id": instance,
        "metric_name": "cpu_usage_percent",
        "value": value,
        "tags": {"environment": "production"},
    }
    return json.dumps(fields)


def send(console: RunningConsole, *lines: str) -> None:
    told = console.manage("send_metrics", "-", "--topic", TOPIC, input="\n".join(lines))
    assert json.loads(told.stdout) == {"read": len(lines), "delivered": len(lines), "failed": 0}


def seen_within(page: Page, part: str, text: str, since: float, limit_s: float) -> float:
    """Seconds from `since` until the page showed the text, by its own account."""
    # Not by wait_for_function, whose eval the page's policy refuses.
    seen: float = wait_until(lambda: page.evaluate("window.__seen ?? 0"), 60, f"{text!r} is in {part}")
    took = seen / 1000 - since
    assert took <= limit_s, f"{text!r} was in {part} after {took:.2f} s"
    return took


@contextmanager
def supervisor_asleep(console: RunningConsole) -> Iterator[None]:
    """Nothing is started again meanwhile."""
    state = run_state.read(console.data_dir)
    assert state is not None
    os.kill(state.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(state.pid, signal.SIGCONT)


def kill(pid: int) -> None:
    """kill -9, and wait until it has ended; its parent sleeps, so it may stay as a zombie."""
    process = psutil.Process(pid)
    process.kill()
    wait_until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, 10, "it ends")


def test_an_alert_appears_within_two_seconds_of_its_metric(overview: Page, console: RunningConsole) -> None:
    instance = f"first-light-{time.time_ns()}"
    overview.evaluate(WATCH, ["#overview-alerts", instance])
    send(console, metric(instance, 85.5))
    delivered = time.time()
    took = seen_within(overview, "#overview-alerts", instance, delivered, 2.0)
    LOG.info("the alert was on the page %.2f s after the command had ended", took)
    row = overview.locator("#overview-alerts tr", has_text=instance)
    assert "cpu_usage_percent 85.5 > 80" in " ".join(row.inner_text().split())
    # The rest of the page follows: the sentence, the figure, the count beside the page's name, a toast.
    overview.wait_for_selector("#headline h1:has-text('firing')")
    overview.wait_for_selector("#tile-alerts.tone-warn, #tile-alerts.tone-bad")
    overview.wait_for_selector("#nav-alerts:not(:empty)")
    overview.wait_for_selector(f"#toasts:has-text('{instance}')")
    # And its newest value is in the table of the fleet.
    overview.wait_for_selector(f"[id='fleet-{instance}'] td:has-text('85.5')")


def test_an_operator_takes_an_alert(overview: Page, console: RunningConsole) -> None:
    instance = f"taken-{time.time_ns()}"
    send(console, metric(instance, 99.5))
    row = overview.locator("#overview-alerts tr", has_text=instance)
    row.get_by_role("button", name="Acknowledge").click()
    overview.wait_for_selector(
        f"#overview-alerts tr:has-text('{instance}'):has-text('acknowledged by operator')"
    )


def test_values_change_in_place_as_they_come(overview: Page, console: RunningConsole) -> None:
    instance = f"walking-{time.time_ns()}"
    for value in (11.5, 22.5, 33.5):
        send(console, metric(instance, value))
        overview.wait_for_selector(f"[id='fleet-{instance}'] td:has-text('{value}')")


def test_the_theme_can_be_switched_and_is_kept(overview: Page) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    overview.emulate_media(color_scheme="light")
    light = overview.evaluate(background)
    overview.get_by_role("button", name="Account and settings").click()
    overview.get_by_role("button", name="Dark").click()
    dark = overview.evaluate(background)
    assert dark != light
    overview.emulate_media(color_scheme="dark")
    overview.get_by_role("button", name="Light").click()
    assert overview.evaluate(background) == light
    overview.goto("/")
    assert overview.evaluate(background) == light
    overview.evaluate("window.__same = true")


def test_without_its_server_a_page_says_so_and_catches_up(
    overview: Page, console: RunningConsole, wrong: list[str]
) -> None:
    instance = f"meanwhile-{time.time_ns()}"
    with supervisor_asleep(console):
        kill(console.pid_of("web"))
        overview.wait_for_selector("#connection[data-state=polling], #connection[data-state=offline]")
        overview.wait_for_selector("#connection[data-state=offline]")
        assert "Offline" in overview.inner_text("#connection")
        send(console, metric(instance, 85.5))
        # What it shows stays, and isn't taken for new.
        assert overview.locator("#overview-alerts tr", has_text=instance).count() == 0
        assert overview.locator("#tile-brokers").inner_text().startswith("Brokers")
    overview.wait_for_selector("#connection[data-state=live]")
    overview.wait_for_selector(f"#overview-alerts tr:has-text('{instance}')")
    forgive_outage(wrong)
    wait_until(lambda: console.status()["ready"], 60, "all is ready again", every_s=0.5)


def test_without_redis_a_page_polls_and_says_unknown(overview: Page, console: RunningConsole) -> None:
    instance = f"polling-{time.time_ns()}"
    with supervisor_asleep(console):
        kill(console.pid_of("redis"))
        overview.wait_for_selector("#connection[data-state=polling]")
        overview.wait_for_selector("#headline:has-text('Redis does not answer')")
        assert "unknown" in overview.inner_text("#tile-brokers")
        # What is stored is still read, every five seconds.
        send(console, metric(instance, 85.5))
        overview.wait_for_selector(f"#overview-alerts tr:has-text('{instance}')")
    overview.wait_for_selector("#connection[data-state=live]")
    wait_until(lambda: console.status()["ready"], 60, "all is ready again", every_s=0.5)


def test_a_killed_broker_is_told_of_within_ten_seconds(overview: Page, console: RunningConsole) -> None:
    overview.wait_for_selector("#tile-brokers:has-text('3/3')")
    overview.evaluate(WATCH, ["#headline", "1 of 3 brokers is down"])
    with supervisor_asleep(console):
        killed = time.time()
        kill(console.pid_of("kafka-2"))
        took = seen_within(overview, "#headline", "1 of 3 brokers is down", killed, 10.0)
        LOG.info("the page told of the killed broker after %.2f s", took)
        assert overview.locator("#tile-brokers .pips .is-down").count() == 1
        overview.wait_for_selector("#cluster-state.tone-bad:has-text('2/3 brokers')")
        # Metrics are still taken, and the consumers that are missing raise an alert.
        instance = f"two-brokers-{time.time_ns()}"
        send(console, metric(instance, 85.5))
        overview.wait_for_selector(f"#overview-alerts tr:has-text('{instance}')")
        under = "#overview-alerts tr:has-text('under_replicated_partitions')"
        overview.wait_for_selector(under)
    overview.wait_for_selector("#cluster-state:has-text('3/3 brokers')", timeout=90_000)
    overview.wait_for_selector(under, state="detached", timeout=90_000)
    wait_until(lambda: console.status()["ready"], 90, "all is ready again", every_s=0.5)
