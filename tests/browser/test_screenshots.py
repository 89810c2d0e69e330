"""Every page of a console under traffic: light and dark, on a laptop and on a phone.

    GDS_SCREENSHOTS=docs/screenshots .venv/bin/pytest tests/browser/test_screenshots.py

With the variable set, the laptop's are kept there: those in docs/ are made so.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gdsconsole.env import ROOT
from tests.browser.driving import log_in, watch
from tests.running_console import RunningConsole
from tests.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.console, pytest.mark.browser]

# What has an id is filled in from what the traffic made.
PAGES = {
    "overview": "/",
    "alerts": "/alerts/",
    "alert": "/alerts/{alert}/",
    "rules": "/rules/",
    "topics": "/topics/",
    "topic": "/topics/gds.metrics.production/",
    "messages": "/topics/gds.metrics.production/messages/",
    "pipelines": "/pipelines/",
    "dead-letters": "/dlq/",
    "dead-letter": "/dlq/{letter}/",
    "lag": "/lag/",
    "group": "/lag/gds-alerting/",
    "brokers": "/brokers/",
    "audit": "/audit/",
    "people": "/people/",
    "roles": "/people/roles/",
    "account": "/account/",
    "admin": "/admin/",
}
SIZES = {"laptop": (1440, 900), "phone": (390, 844)}
TRAFFIC = ["simulate", "--rate", "200", "--instances", "12", "--poison", "0.004", "--seed", "20"]
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def addresses(console: RunningConsole) -> Iterator[dict[str, str]]:
    """The pages' addresses, while a seeded fleet sends metrics, some of them broken."""
    traffic = subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), *TRAFFIC],
        env=console.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        alert = wait_until(lambda: console.json("alerts", "list"), 90, "an alert is listed", every_s=1)[0]
        letter = wait_until(lambda: console.json("dlq", "list"), 90, "a dead letter is listed", every_s=1)[0]
        yield {name: path.format(alert=alert["id"], letter=letter["id"]) for name, path in PAGES.items()}
    finally:
        traffic.terminate()
        traffic.wait(30)


@pytest.fixture
def directory(tmp_path: Path, size: str) -> Path:
    wanted = os.environ.get("GDS_SCREENSHOTS")
    chosen = ROOT / wanted if wanted and size == "laptop" else tmp_path
    chosen.mkdir(parents=True, exist_ok=True)
    return chosen


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_is_whole(
    chrome: Browser,
    console: RunningConsole,
    addresses: dict[str, str],
    directory: Path,
    theme: str,
    size: str,
) -> None:
    width, height = SIZES[size]
    page = chrome.new_page(
        base_url=console.url,
        color_scheme=theme,  # type: ignore[arg-type]
        reduced_motion="reduce",
        viewport={"width": width, "height": height},
    )
    wrong: list[str] = []
    watch(page, wrong)
    log_in(page, "admin", console.users["admin"])
    for name, address in addresses.items():
        reply = page.goto(address)
        assert reply is not None
        assert reply.status == 200, address
        if name != "admin":
            page.wait_for_selector("#connection[data-state=live]")
        assert page.evaluate(OVERFLOW) == 0, f"{address} is wider than {width} px"
        assert wrong == [], address
        page.screenshot(path=directory / f"{name}-{theme}.png")
    page.close()
