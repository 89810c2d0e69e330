"""The pages of groups and brokers in a real browser: they change over the socket, without a reload."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client
from django.utils import timezone

from gdsconsole.live import publish
from lag.models import GroupSample
from lag.services import as_data
from tests.browser.driving import open_live, opened_as
from tests.factories import broker_figures, make_broker_sample, make_group_sample, partition_sample
from tests.waiting import wait_until
from topics import seed

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.redis, pytest.mark.django_db(transaction=True)]

LEGEND = "#lag-chart .chart-legend li:first-child b"


@pytest.fixture
def viewer(client_of: Callable[[str], Client], chrome: Browser, site: str) -> Iterator[Page]:
    """A page with a viewer logged in; it fails the test on any script error or breach of the policy."""
    with opened_as(client_of("viewer"), chrome, site) as page:
        yield page


def sampled(group: str, lag: int, **changes: Any) -> GroupSample:
    """A tick in which the group has this lag."""
    part = partition_sample(lag=lag, committed=100, end=100 + lag)
    return make_group_sample(
        group=group, sampled_at=timezone.now(), total_lag=lag, **{"partitions": [part]} | changes
    )


def tell(*samples: GroupSample) -> None:
    """What the sampler publishes of its rows."""
    for sample in samples:
        publish.publish("lag.sampled", sample.group, as_data(sample))
    publish.flush()


def test_lag_changes_on_the_open_pages(viewer: Any) -> None:
    seed.install_default_rules()
    tick = timezone.now()
    for group in ("gds-alerting", "gds-warehouse"):
        make_group_sample(group=group, sampled_at=tick, total_lag=0)
    open_live(viewer, "/lag/")
    viewer.wait_for_selector("#lag-head :text('Both groups have read everything')")

    slow = {"status": "slow", "age_s": 70.0, "consumed_per_s": 1.0, "produced_per_s": 9.0}
    tick = timezone.now()
    rows = [
        make_group_sample(group="gds-alerting", sampled_at=tick, total_lag=3),
        make_group_sample(group="gds-warehouse", sampled_at=tick, total_lag=43_210, **slow),
    ]
    tell(*rows)
    viewer.wait_for_selector("#lag-head :text('gds-warehouse loses ground by 8/s, 43.2 k messages')")
    # The worst is the first row, and its chart has its new end.
    viewer.wait_for_selector("#lag-rows tbody tr:first-child:has-text('gds-warehouse')")
    first = viewer.locator("#lag-rows tbody tr").first
    assert "never at this rate" in first.inner_text()
    viewer.wait_for_selector("#worst-groups .chart-legend :text('43.2 k')")
    assert viewer.evaluate("window.isTheSame")

    viewer.keyboard.press("j")
    viewer.keyboard.press("Enter")
    viewer.wait_for_url("**/lag/gds-warehouse/")


def test_one_group_changes_in_place_and_its_chart_goes_on(viewer: Any) -> None:
    seed.install_default_rules()
    sampled("gds-warehouse", 5)
    open_live(viewer, "/lag/gds-warehouse/")
    viewer.wait_for_selector(f"{LEGEND}:text-is('5')")
    viewer.evaluate("window.canvas = document.querySelector('#lag-chart canvas')")
    tell(sampled("gds-warehouse", 777, status="slow"))
    viewer.wait_for_selector(f"{LEGEND}:text-is('777')")
    viewer.wait_for_selector("#group-partitions td :text-is('777')")
    viewer.wait_for_selector("#group .page-actions .badge:has-text('slow')")
    # New values alone don't draw the chart anew: who looks at a point of it keeps it.
    assert viewer.evaluate("window.canvas === document.querySelector('#lag-chart canvas')")
    # What was missed comes with the next reading, into the chart that is drawn, with its limit.
    sampled("gds-warehouse", 12_345)
    viewer.evaluate("htmx.trigger(document.body, 'live:sync')")
    viewer.wait_for_selector(f"{LEGEND}:text-is('12.3 k')")
    viewer.wait_for_selector("#lag-chart .chart-legend :text('alert above')")
    assert viewer.locator("#lag-chart .uplot").count() == 1
    assert viewer.evaluate("window.isTheSame")


def test_the_cluster_changes_on_the_open_page(viewer: Any) -> None:
    make_broker_sample(sampled_at=timezone.now() - timedelta(seconds=1))
    open_live(viewer, "/brokers/")
    viewer.wait_for_selector("#brokers :text('All 3 brokers are up')")
    down = broker_figures(2, up=False, produce_p99_ms=None)
    make_broker_sample(
        sampled_at=timezone.now(),
        live=2,
        under_replicated=34,
        brokers=[broker_figures(1), down, broker_figures(3)],
    )
    publish.publish("brokers.sampled", "cluster", {"brokers": 2, "expected": 3})
    publish.flush()
    viewer.wait_for_selector("#brokers :text('2 of 3 brokers are up; 34 partitions miss replicas.')")
    viewer.wait_for_selector("#broker-2 .badge:has-text('down')")
    # Nothing answers at the cluster's address, and the page says so instead of showing no partition.
    viewer.wait_for_selector(
        "#short-partitions :text('Which partitions these are is unknown')", timeout=20_000
    )
    assert viewer.evaluate("window.isTheSame")


def test_the_pages_are_right_on_a_phone(viewer: Any) -> None:
    sampled("a-consumer-group-with-a-very-long-name-" + "x" * 80, 5, status="slow", reason="y" * 300)
    make_broker_sample(sampled_at=timezone.now())
    viewer.set_viewport_size({"width": 390, "height": 844})
    for path in ("/lag/", f"/lag/{GroupSample.objects.get().group}/", "/brokers/"):
        viewer.goto(path)
        overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert viewer.evaluate(overflow) == 0, path


def test_odd_names_are_followed_and_kept_apart(viewer: Any) -> None:
    """A browser walks up `..`, and the group `a` is not `a:b`."""
    tick = timezone.now()
    rows = [make_group_sample(group=group, sampled_at=tick, total_lag=7) for group in ("..", "a", "a:b")]
    open_live(viewer, "/lag/")
    value = "#lag-rows [data-live='lag.sampled:{}:total_lag']"
    rows[1].total_lag = 41

    def is_set() -> bool:
        # Again and again, as samples come: the list's own re-read on connecting may be under way.
        tell(rows[1])
        return bool(viewer.inner_text(value.format("a")) == "41")

    wait_until(is_set, 10, "the value changes")
    assert viewer.inner_text(value.format("a:b")) == "7"
    viewer.click("#lag-rows a:text-is('..')")
    viewer.wait_for_selector("h1:text-is('..')")
