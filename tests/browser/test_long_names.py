"""No name breaks the layout, however long it is and without a place to break at."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
from django.utils import timezone

from dlq import services as letters
from dlq.models import pack_headers
from gdsconsole.assembly.pipeline_catalog import CATALOG
from gdsconsole.audit import services as audit
from gdsconsole.kafka.browsing.record_scan import Bounds, FoundRecord, Scan
from gdsconsole.kafka.cluster.metadata import Partition
from gdsconsole.pipelines import services as pipelines
from gdsconsole.pipelines.models import PipelineConsumer
from tests.assembly.overview.stored import Published, fire, make_rule, run_consumer
from tests.browser import pages
from tests.factories import (
    broker_figures,
    make_broker_sample,
    make_dead_letter,
    make_group_sample,
    make_record,
    partition_sample,
)
from tests.topics.conftest import live_topic
from topics.alerting.evidence_reader import AlertEvidence
from topics.messages.search import OneRecord, SearchResult
from topics.models import Alert, TopicDefinition
from topics.seed import install_guide_definitions

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.redis, pytest.mark.django_db(transaction=True)]

WIDTHS = (390, 1280, 1440)
FITS = "() => document.documentElement.scrollWidth <= document.documentElement.clientWidth"
OVERFLOW = """() => {
  const wide = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= wide) return [];
  const held = (one) => one.closest(".table-wrap, .scroll-x, pre, [data-scroll]");
  return [...document.querySelectorAll("body *")]
    .filter((one) => one.getBoundingClientRect().right > wide + 1 && !held(one.parentElement))
    .slice(0, 8)
    .map((one) => [one.tagName, one.className, Math.round(one.getBoundingClientRect().right),
                   one.textContent.trim().slice(0, 40)].join(" "));
}"""
SIDEWAYS = """() => [...document.querySelectorAll(".table-wrap")]
  .filter((one) => one.scrollWidth > one.clientWidth + 1)
  .map((one) => `${one.scrollWidth} in ${one.clientWidth}: ${one.textContent.trim().slice(0, 60)}`)"""


def long(word: str, length: int) -> str:
    """A name of that length without a place to break at."""
    return (word + "x" * length)[:length]


TOPIC = f"gds.{long('topic', 234)}.production"
GROUP = long("group", 249)
INSTANCE = long("instance", 200)
METRIC = long("metric", 200)
RULE = long("rule", 100)
USER = long("user", 150)
TEXT = long("text", 500)
HEADER = long("header", 200)


def fill(published: Published, *, now: datetime) -> None:
    install_guide_definitions()
    published.everything()
    TopicDefinition.objects.create(name=TOPIC, partitions=3, owner=long("owner", 100), description=TEXT)
    someone = User.objects.create_user(USER)
    rule = make_rule(name=RULE, severity="critical", metric_name=METRIC, description=TEXT, instance=INSTANCE)
    labels = {"instance_id": INSTANCE, long("label", 200): long("value", 200)}
    record = {"topic": TOPIC, "partition": 0, "offset": 2**62}
    fire(INSTANCE, now=now, rule=rule, labels=labels, environment=long("environment", 100), **record)
    fire(INSTANCE, now=now, rule=rule, acknowledged_by=someone, acknowledged_at=now)
    published.metric(INSTANCE, METRIC, 60.0)
    published.metric("prod-db-01", METRIC, 60.0)
    published("topic.rates", TOPIC, {"rate_in": 50.0, "end_total": 900})
    for _ in range(2):
        make_letter(now)
    for name in CATALOG:
        run_consumer(name, now=now, rate_in=40.0)
    figures = ("rate_in", "rate_out", "batch_ms", "processed", "dead_letters", "retries", "rebalances")
    PipelineConsumer.objects.update(counters=dict.fromkeys(figures, 7))
    PipelineConsumer.objects.update(host=long("host", 250), reason=TEXT, state="retrying")
    pipelines.halt(name="alerting", reason=TEXT, now=now)
    late = {"group": GROUP, "status": "slow", "total_lag": 43_500}
    published("lag.sampled", GROUP, {**late, "unknown_partitions": 1})
    partitions = [
        partition_sample(topic=TOPIC, lag=43_500, committed=100, end=43_600, status="slow", reason=TEXT)
    ]
    make_group_sample(**late, sampled_at=now, reason=TEXT[:300], partitions=partitions)
    brokers = [broker_figures(number, address=f"{long('host', 240)}:9092") for number in (1, 2, 3)]
    make_broker_sample(sampled_at=now, live=2, expected=3, under_replicated=4, brokers=brokers)
    with transaction.atomic():
        audit.record(actor=USER, action="t.deed", sentence=TEXT, target=TOPIC, reason=TEXT, now=now)


def make_letter(now: datetime) -> Any:
    return make_dead_letter(
        topic=TOPIC,
        group=GROUP,
        cluster_id=long("cluster", 64),
        dlq_topic=long("dlq", 249),
        error=TEXT,
        error_type=long("Error", 200),
        key=long("key", 300).encode(),
        value=long("value", 3000).encode(),
        headers=pack_headers([(HEADER, long("value", 400).encode()), ("trace", f"a\n{TEXT}".encode())]),
        last_failed_at=now - timedelta(minutes=1),
        first_failed_at=now - timedelta(minutes=2),
        indexed_at=now,
    )


def stand_for_kafka(patch: pytest.MonkeyPatch) -> None:
    """A topic of that name with records, as the pages would read it."""
    from gdsconsole.kafka.cluster.topic_admin import LiveTopics
    from topics.definitions.cluster_cache import Reading

    line = FoundRecord(0, 2**62, 2**62, long("key", 400).encode(), long("value", 1000).encode(), 2**40, 300)
    scan = Scan([line, line], 2, 0.1, {0: 2**62}, None)
    looked = SearchResult(scan, {0: Bounds(0, 2**62)}, 3, {1: TEXT}, "")
    record = make_record(
        topic=TOPIC, offset=2**62, key=long("key", 300).encode(), value=long("value", 3000).encode()
    )
    headers = [(HEADER, long("value", 400).encode()), ("bytes", b"\xff" * 300)]
    patch.setattr("topics.messages.views.look", lambda wanted: looked)
    patch.setattr(
        "topics.messages.views.read_one", lambda *_: OneRecord(record, headers, 2**62 - 1, 2**62 + 1)
    )
    shown = {"key": long("key", 300), "value": record.value(), "written_ms": 2**62}
    other = {"metric_name": METRIC, "values": [1.0, 2.0], "newest": 2.0, "style": "short", "symbol": "x" * 20}
    chart = {"times": [1.0, 2.0], "series": [{"label": METRIC, "values": [1.0, 2.0]}], "legend": True}
    evidence = AlertEvidence(chart, "note", shown, [other | {"has_moved": True, "verdict": "moved with it"}])
    patch.setattr("topics.alerting.views.read_evidence", lambda alert, live: evidence)

    def cluster_now() -> Reading:
        definition = TopicDefinition.objects.get(name=TOPIC)
        topic = live_topic(definition, in_sync=(1,), config={"retention.ms": "1"})
        undeclared = frozenset({TOPIC, long("undeclared", 249), long("another", 249)})
        return Reading(LiveTopics("cluster", 3, {TOPIC: topic}, undeclared))

    patch.setattr("topics.definitions.views.cluster_now", cluster_now)
    parts = {TOPIC: tuple(Partition(TOPIC, number, 1, (1, 2, 3), (1,)) for number in range(0, 60, 2))}
    cluster = SimpleNamespace(brokers={}, partitions=parts[TOPIC])
    patch.setattr("lag.broker_views.read_cluster", lambda *_, **__: cluster)
    patch.setattr("lag.broker_views.connectable", lambda brokers: frozenset({1}))


def addresses(now: datetime) -> dict[str, str]:
    letter = make_letter(now)
    alerts = list(Alert.objects.order_by("pk"))
    run = letters.start_replay(ids=[make_letter(now).pk], actor=USER, reason=TEXT, now=now).run
    named = {
        "one-alert": alerts[0].get_absolute_url(),
        "one-taken-alert": alerts[1].get_absolute_url(),
        "one-topic": f"/topics/{TOPIC}/",
        "messages": f"/topics/{TOPIC}/messages/?q={long('q', 200)}",
        "wrong-messages": f"/topics/{TOPIC}/messages/?before={long('q', 200)}",
        "record": f"/topics/{TOPIC}/messages/0/0/",
        "letter": f"/dlq/{letter.pk}/",
        "run": f"/dlq/runs/{run.pk}/",
        "replay-selection": f"/dlq/replay/?topic={TOPIC}",
        "discard-selection": f"/dlq/discard/?topic={TOPIC}",
        "letters-of-a-topic": f"/dlq/?topic={TOPIC}&state=any",
        "one-group": f"/lag/{GROUP}/",
        "audit-of-one": f"/audit/?actor={USER}",
        "admin-topics": "/admin/topics/topicdefinition/",
        "admin-rules": "/admin/topics/alertrule/",
        "not-there": f"/topics/{long('nothing', 249)}/",
    }
    return {place.path().strip("/") or "overview": place.path() for place in pages.NAVIGATION} | named


def settle(tab: Page) -> None:
    """Wait for what follows a change of size, such as the charts; what stays too wide is found anyway."""
    from playwright.sync_api import TimeoutError

    with suppress(TimeoutError):
        tab.wait_for_function(FITS, timeout=1000)


def test_every_page_holds_names_of_200_characters(
    chrome: Browser, live_server: Any, redis_url: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now()
    fill(Published(redis_url, now), now=now)
    stand_for_kafka(monkeypatch)
    client = Client()
    client.force_login(User.objects.create_superuser(long("admin", 150)))
    name = settings.SESSION_COOKIE_NAME
    places = addresses(now)
    context = chrome.new_context(base_url=live_server.url, reduced_motion="reduce")
    context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": live_server.url}])
    tab = context.new_page()
    wide: list[str] = []
    for place, address in places.items():
        tab.goto(address)
        tab.wait_for_function("() => !document.querySelector('main .skeleton')")
        for width in WIDTHS:
            tab.set_viewport_size({"width": width, "height": 900})
            settle(tab)
            wide += [f"{place} at {width}: {found}" for found in tab.evaluate(OVERFLOW)]
            if width == WIDTHS[-1]:
                wide += [f"{place} at {width} scrolls: {found}" for found in tab.evaluate(SIDEWAYS)]
            if kept := os.environ.get("GDS_LONG_NAMES"):
                tab.screenshot(path=Path(kept) / f"{place}-{width}.png")
    context.close()
    assert wide == [], "\n".join(wide)
