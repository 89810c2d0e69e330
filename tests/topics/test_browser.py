"""The alerts' pages in a real browser, over the socket: an operator at night, with one hand on the keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client
from django.utils import timezone

from gdsconsole.live import publish
from tests.browser.driving import open_live, opened_as
from tests.dlq.test_views import HOSTILE
from tests.topics.making import make_alert, make_alert_rule
from tests.waiting import wait_until
from topics import seed
from topics.alerting import services
from topics.alerting.outbox import alert_changed
from topics.alerting.services import Measurement
from topics.models import Alert, TopicDefinition

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.redis, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def operator(client_of: Callable[[str], Client], chrome: Browser, site: str) -> Iterator[Page]:
    """A page with an operator logged in; it fails the test on any script error or breach of the policy."""
    with opened_as(client_of("operator"), chrome, site) as page:
        yield page


def announce(alert: Alert) -> None:
    """What the pipeline says of an alert it opened."""
    publish.publish("alert.changed", str(alert.pk), alert_changed(alert))
    publish.flush()


def test_an_alert_appears_on_the_open_page(operator: Any) -> None:
    rule = make_alert_rule()
    open_live(operator, "/alerts/")
    assert "Nothing is firing. 1 rule evaluated." in operator.inner_text("#alerts-head")
    alert = make_alert(rule, "prod-db-07", started_at=timezone.now())
    announce(alert)
    operator.wait_for_selector(f"#alert-{alert.pk}", timeout=2_000)
    operator.wait_for_selector(
        "#alerts-head :text('1 alert firing. Not acknowledged: CPU high on prod-db-07')"
    )
    toast = operator.wait_for_selector(".toast")
    assert "cpu_usage_percent 85.5 > 80 on prod-db-07" in toast.inner_text()
    assert operator.evaluate("window.isTheSame") is True


def test_a_burst_is_shown_to_the_last(operator: Any) -> None:
    """Re-reading is throttled; what comes in between is not forgotten."""
    rule = make_alert_rule()
    open_live(operator, "/alerts/")
    for number in range(12):
        announce(make_alert(rule, f"db-{number:02}"))
        operator.wait_for_timeout(110)
    operator.wait_for_selector("#alerts-head :text('12 alerts firing.')", timeout=5_000)
    operator.locator("#alert-rows tr[data-href]").nth(11).wait_for(timeout=5_000)


def test_values_change_in_place(operator: Any) -> None:
    alert = make_alert()
    open_live(operator, "/alerts/")
    value = operator.locator(f"#alert-{alert.pk} [data-live]")
    assert value.inner_text() == "91"
    sample = {
        "instance_id": "prod-db-01",
        "metric_name": "cpu_usage_percent",
        "database_type": "postgresql",
        "value": 97.5,
    }

    def is_set() -> bool:
        # Again and again, as samples come: the list's own re-read on connecting may be under way.
        publish.publish("metric.newest", "prod-db-01/cpu_usage_percent", sample)
        publish.flush()
        return bool(value.inner_text() == "97.5")

    wait_until(is_set, 10, "the value changes")


def test_one_key_takes_the_chosen_alert(operator: Any) -> None:
    rule = make_alert_rule()
    first, second, third = (make_alert(rule, f"db-{number}") for number in (1, 2, 3))
    open_live(operator, "/alerts/")
    # Nothing is chosen: the first `a` chooses, so that nobody takes what just moved to the top.
    operator.keyboard.press("a")
    assert operator.evaluate("document.activeElement.id") == f"alert-{first.pk}"
    assert Alert.objects.filter(acknowledged_at=None).count() == 3
    operator.keyboard.press("j")
    operator.keyboard.press("a")
    operator.wait_for_selector(f"#alert-{second.pk} >> text=operator")
    assert list(Alert.objects.exclude(acknowledged_at=None)) == [second]
    assert operator.evaluate("document.activeElement.id") == f"alert-{second.pk}"
    # Its own alert's page has the key too, and `g a` is a way there and not a deed.
    operator.goto(f"/alerts/{third.pk}/")
    operator.wait_for_selector("body[data-connection=live]")
    operator.keyboard.press("a")
    operator.wait_for_selector("#alert :text('acknowledged')")
    operator.keyboard.press("g")
    operator.keyboard.press("a")
    operator.wait_for_url("**/alerts/")
    assert Alert.objects.get(pk=first.pk).acknowledged_at is None


def test_typing_an_a_takes_nothing(operator: Any) -> None:
    alert = make_alert()
    open_live(operator, "/alerts/")
    operator.keyboard.press("/")
    operator.keyboard.type("aa")
    operator.wait_for_url("**/alerts/?q=aa")
    alert.refresh_from_db()
    assert alert.acknowledged_at is None


def test_all_of_a_rule_are_taken_at_once(operator: Any) -> None:
    cpu = make_alert_rule()
    for number in range(4):
        make_alert(cpu, f"db-{number}")
    other = make_alert(make_alert_rule(name="Disk full", metric_name="disk_used_percent"))
    open_live(operator, "/alerts/")
    operator.get_by_role("button", name="Acknowledge all 4 of it").click()
    operator.wait_for_selector(".toast:has-text('4 alerts acknowledged')")
    operator.wait_for_selector("#alerts-head :text('1 is not acknowledged')")
    assert list(Alert.objects.filter(acknowledged_at=None)) == [other]


def test_rows_stay_still_under_the_pointer(operator: Any) -> None:
    rule = make_alert_rule()
    first = make_alert(rule, "db-1")
    open_live(operator, "/alerts/")
    operator.hover(f"#alert-{first.pk}")
    row = operator.locator(f"#alert-{first.pk}")
    place = row.bounding_box()
    second = make_alert(make_alert_rule(name="Disk full", severity="critical"), "db-2")
    announce(second)
    operator.wait_for_selector(".fresh-bar button:has-text('1 new')")
    assert operator.locator(f"#alert-{second.pk}").count() == 0
    assert row.bounding_box() == place
    operator.click(".fresh-bar button")
    operator.wait_for_selector(f"#alert-{second.pk}")


def test_the_evidence_shows_what_is_known_when_kafka_is_away(operator: Any) -> None:
    alert = make_alert(topic="gds.metrics.production", partition=0, offset=1)
    operator.goto(f"/alerts/{alert.pk}/")
    operator.wait_for_selector("text=The records around it could not be read.", timeout=8_000)
    assert operator.locator("#evidence .uplot canvas").count() == 1


def test_no_label_becomes_markup(operator: Any) -> None:
    seed.install_guide_definitions()
    TopicDefinition.objects.update(description=HOSTILE[0], owner=HOSTILE[1])
    pages = ["/alerts/", "/rules/", "/topics/", "/topics/gds.metrics.production/"]
    for number, hostile in enumerate(HOSTILE):
        rule = make_alert_rule(name=hostile[:100], metric_name=hostile, description=hostile, threshold=number)
        labels = {"instance_id": hostile, "database_type": hostile, hostile: hostile}
        alert = make_alert(rule, subject=hostile, labels=labels, environment=hostile)
        pages.append(f"/alerts/{alert.pk}/")
    for path in pages:
        operator.goto(path)
        operator.wait_for_function("window.htmx !== undefined")
        if path.startswith("/alerts/") and path != "/alerts/":
            operator.wait_for_selector("#evidence .uplot")
        assert operator.title() != "owned", path
        assert (
            operator.locator("main :is(script:not([type='application/json']), iframe, img)").count() == 0
        ), path
    # What comes over the socket goes through scripts: toasts and values.
    operator.wait_for_selector("body[data-connection=live]")
    announce(alert)
    operator.wait_for_selector(".toast")
    assert operator.locator(".toast :is(script, iframe, img)").count() == 0
    assert operator.title() != "owned"


@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_is_wider_than_the_screen(operator: Any, width: int) -> None:
    seed.install_guide_definitions()
    seed.install_default_rules()
    rule = make_alert_rule(name="R" * 100, metric_name="m" * 200, description="d" * 400)
    for number in range(3):
        alert = make_alert(rule, f"{'i' * 250}{number}", topic="t" * 200, partition=1, offset=10**15)
    services.record_measurements(
        [Measurement("lag", "consumer_lag", {"group": "g" * 250}, 1e15, timezone.now())], now=timezone.now()
    )
    operator.set_viewport_size({"width": width, "height": 844})
    pages = ["/alerts/", f"/alerts/{alert.pk}/", "/rules/", "/topics/", "/topics/gds.metrics.production/"]
    for path in pages:
        operator.goto(path)
        if path == pages[1]:
            operator.wait_for_selector("#evidence .uplot", timeout=8_000)
        overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert operator.evaluate(overflow) == 0, path
