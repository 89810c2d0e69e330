"""What is drawn stays readable: no label is cut off, and none lies over a station of the flow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from django.test import Client
from django.utils import timezone

from tests.assembly.overview.stored import Published
from tests.browser import pages
from tests.browser.driving import open_live, opened_as
from topics.models import TopicDefinition

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.redis, pytest.mark.django_db(transaction=True)]

# The rates that share some of their area with a station which is not their own.
OVER_ANOTHER = """() => {
  const nodes = [...document.querySelectorAll('.flow-node')];
  return [...document.querySelectorAll('.flow-rate')].filter((rate) => {
    const a = rate.getBoundingClientRect();
    return nodes.some((node) => {
      const b = node.getBoundingClientRect();
      const across = a.left < b.right && b.left < a.right;
      return !node.contains(rate) && across && a.top < b.bottom && b.top < a.bottom;
    });
  }).map((rate) => rate.innerText);
}"""
# How far the axis' last label may reach to the right of the last value without being cut, in px.
ROOM = """() => [...document.querySelectorAll('.uplot')].map((plot) =>
  plot.getBoundingClientRect().right - plot.querySelector('.u-over').getBoundingClientRect().right)"""
HALF_A_LABEL_PX = 26


@pytest.fixture
def page(chrome: Browser, site: str, redis_url: str, client_of: Callable[[str], Client]) -> Iterator[Page]:
    now = timezone.now()
    pages.fill(Published(redis_url, now), now=now)
    with opened_as(client_of("admin"), chrome, site) as opened:
        yield opened


@pytest.mark.parametrize("width", [1440, 1000, 390])
def test_no_rate_lies_over_another_station(page: Page, width: int) -> None:
    declared = TopicDefinition.objects.get(name="gds.metrics.dlq")
    for name in ("gds.logs.dlq", "gds.traces.dlq"):
        declared.pk, declared.name = None, name
        declared.save()
    page.set_viewport_size({"width": width, "height": 900})
    open_live(page, "/")
    page.wait_for_selector("#flow-topic-gds\\.traces\\.dlq :text('refused unknown')")
    assert page.evaluate(OVER_ANOTHER) == []


def test_the_last_label_of_a_time_axis_has_room(page: Page) -> None:
    open_live(page, "/lag/gds-late/")
    page.wait_for_selector(".uplot")
    rooms = page.evaluate(ROOM)
    assert len(rooms) >= 3
    assert min(rooms) >= HALF_A_LABEL_PX
