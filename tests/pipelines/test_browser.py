"""The pipelines' and the audit page in a real browser: they change over the socket, without a reload."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client
from django.utils import timezone

from gdsconsole.audit.models import AuditEntry
from gdsconsole.database.leases import Holder
from gdsconsole.live import publish
from gdsconsole.pipelines import leases, services
from gdsconsole.pipelines.leases import Heartbeat
from gdsconsole.pipelines.models import Pipeline, PipelineConsumer
from tests.browser.driving import open_live, opened_as
from tests.factories import by
from tests.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.redis, pytest.mark.django_db(transaction=True)]

TOPIC = "gds.metrics.production"
GROUPS = {"alerting": "gds-alerting", "warehouse": "gds-warehouse"}


@pytest.fixture
def operator(client_of: Callable[[str], Client], chrome: Browser, site: str) -> Iterator[Page]:
    """A page with an operator logged in; it fails the test on any script error or breach of the policy."""
    services.ensure(groups=GROUPS)
    with opened_as(client_of("operator"), chrome, site) as page:
        yield page


def beat(name: str, slot: int, numbers: range) -> None:
    now = timezone.now()
    holder = Holder("node-7", 4711 + slot, "elsewhere", 1.0)
    lease = leases.claim(name=name, slot=slot, holder=holder, now=now)
    assert lease is not None
    partitions = [f"{TOPIC}-{number}" for number in numbers]
    heartbeat = Heartbeat(PipelineConsumer.State.RUNNING, "", partitions, {"rate_in": 10.0})
    leases.renew(lease=lease, heartbeat=heartbeat, now=now)


def tell(name: str, slot: int, numbers: range, **changes: Any) -> None:
    """What a consumer publishes of itself."""
    told = {
        "name": name,
        "slot": slot,
        "state": "running",
        "reason": "",
        "partitions": [f"{TOPIC}-{number}" for number in numbers],
        "waiting": {},
        "rate_in": 10.0,
    }
    publish.publish("pipeline.stats", f"{name}/{slot}", told | changes)
    publish.flush()


def cells(page: Any, name: str) -> list[str]:
    found: list[str] = page.locator(f"#pipeline-{name} .strip .strip-consumer").all_inner_texts()
    return found


def test_rates_and_partitions_change_on_the_open_page(operator: Any) -> None:
    beat("alerting", 0, range(12))
    open_live(operator, "/pipelines/")
    assert cells(operator, "alerting") == ["c0"] * 12
    services.scale(name="alerting", consumers=3, **by())
    for slot in (1, 2):
        beat("alerting", slot, range(4 * slot, 4 * slot + 4))
    for slot in range(3):
        tell("alerting", slot, range(4 * slot, 4 * slot + 4), rate_in=1_300.0)
    operator.wait_for_selector("#pipeline-alerting .sharing p:has-text('3 consumers, 4 partitions each')")
    assert cells(operator, "alerting") == ["c0"] * 4 + ["c1"] * 4 + ["c2"] * 4
    operator.wait_for_selector("#consumer-alerting-0 td:has-text('1.3 k/s')")
    assert operator.evaluate("window.isTheSame")


def test_a_halt_says_why_and_is_resumed_by_a_button(operator: Any) -> None:
    beat("alerting", 0, range(12))
    open_live(operator, "/pipelines/")
    services.halt(name="alerting", reason="30 of 30 records were dead letters", now=timezone.now())
    tell("warehouse", 0, range(0))
    banner = "#pipeline-alerting .banner.tone-bad:has-text('30 of 30 records were dead letters')"
    operator.wait_for_selector(banner)
    operator.locator("#pipeline-alerting").get_by_role("button", name="Resume").click()
    operator.wait_for_selector(".toast:has-text('alerting goes on where it stopped')")
    assert operator.locator(banner).count() == 0
    assert Pipeline.objects.get(name="alerting").halted_reason == ""
    entry = AuditEntry.objects.get(action="pipeline.resume")
    assert (entry.actor, entry.reason) == ("operator", "")
    assert entry.sentence.endswith("which had halted: 30 of 30 records were dead letters")


def test_a_pause_asks_first_and_what_is_typed_outlives_a_re_read(operator: Any) -> None:
    beat("alerting", 0, range(12))
    open_live(operator, "/pipelines/")
    operator.fill("#consumers-alerting", "5")
    tell("alerting", 0, range(12), rate_in=77.0)
    operator.wait_for_selector("#tile-alerting:has-text('77/s')")
    assert operator.input_value("#consumers-alerting") == "5"
    operator.locator("#pipeline-alerting").get_by_role("button", name="Pause…").click()
    dialog = operator.locator("#pause-alerting")
    assert "messages wait in Kafka" in dialog.inner_text()
    dialog.get_by_role("button", name="Cancel").click()
    assert Pipeline.objects.get(name="alerting").state == "running"
    operator.locator("#pipeline-alerting").get_by_role("button", name="Pause…").click()
    dialog.get_by_role("button", name="Pause", exact=True).click()
    operator.wait_for_selector("#pipeline-alerting .badge:has-text('paused')")
    assert Pipeline.objects.get(name="alerting").state == "paused"


def test_a_deed_appears_on_the_open_audit_page(operator: Any) -> None:
    open_live(operator, "/audit/")
    operator.wait_for_selector("text=Nobody has done anything yet")
    services.pause(name="alerting", actor="admin", now=timezone.now())
    publish.flush()
    operator.wait_for_selector("#audit-rows tr:has-text('admin paused pipeline alerting')")
    operator.get_by_role("link", name="alerting", exact=True).click()
    operator.wait_for_url("**/pipelines/#pipeline-alerting")


def test_on_a_phone_nothing_is_wider_than_the_screen(operator: Any) -> None:
    services.scale(name="alerting", consumers=3, actor="x" * 140, now=timezone.now())
    for slot in range(3):
        beat("alerting", slot, range(24 * slot, 24 * slot + 24))
    services.halt(name="warehouse", reason="y" * 400, now=timezone.now())
    operator.set_viewport_size({"width": 390, "height": 844})
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    for path in ("/pipelines/", "/audit/"):
        operator.goto(path)
        wait_until(lambda: operator.evaluate("document.readyState") == "complete", 10, "the page is there")
        assert operator.evaluate(overflow) == 0, path
