"""The page of the brokers, healthy, in trouble, and when nobody knows."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

import pytest
from django.test import Client

from gdsconsole.kafka.cluster.metadata import Broker, Cluster, Partition
from lag import broker_views
from lag.models import BrokerSample
from tests.factories import broker_figures
from tests.lag.conftest import text_of
from tests.lag.reading_pages import chart_in, plain
from topics import seed
from topics.alerting.services import Measurement, record_measurements

pytestmark = pytest.mark.django_db

BrokersNow = Callable[..., BrokerSample]

NO_FIGURES = dict.fromkeys(
    ("controller", "bytes_in_per_s", "bytes_out_per_s", "messages_in_per_s", "produce_p99_ms", "fetch_p99_ms")
)
UNREAD = dict.fromkeys(
    ("live", "expected", "partitions", "under_replicated", "under_min_isr", "leaderless")
) | {"brokers": [], "error": "Kafka at 127.0.0.1:9092 does not answer"}


def row_of(page: str, broker: int) -> str:
    found = re.search(rf'<tr id="broker-{broker}".*?</tr>', page, re.S)
    assert found is not None
    return plain(found[0])


def tile_of(page: str, label: str) -> str:
    tiles = re.findall(r'<a class="tile.*?</a>', page, re.S)
    return next(text for text in map(plain, tiles) if text.startswith(label))


def test_a_healthy_cluster_in_one_sentence_and_a_row_a_broker(
    viewer: Client, brokers_now: BrokersNow
) -> None:
    brokers = [broker_figures(1), broker_figures(2, produce_p99_ms=31.0), broker_figures(3)]
    brokers_now(brokers=brokers)
    page = text_of(viewer.get("/brokers/"))
    assert "All 3 brokers are up, every partition has all its replicas, produce p99 is 31 ms at most." in page
    assert tile_of(page, "Brokers up") == "Brokers up 3 of 3 expected"
    assert tile_of(page, "Under-replicated") == "Under-replicated 0 of 48 partitions"
    assert "146 KiB /s 293 KiB/s out" in tile_of(page, "Bytes in")
    assert "31 ms broker 2" in tile_of(page, "Produce p99")
    assert "controller" in row_of(page, 1)
    assert "controller" not in row_of(page, 2)
    for shown in ("127.0.0.1:9093", "up", "48.8 KiB", "97.7 KiB", "200", "31 ms of 100 ms", "504 ms"):
        assert shown in row_of(page, 2)


def test_a_broker_down_and_what_it_takes_along(viewer: Client, brokers_now: BrokersNow) -> None:
    down = broker_figures(2, up=False, under_replicated=None, leads=0, **NO_FIGURES)
    slow = broker_figures(3, produce_p99_ms=230.0, under_replicated=17)
    brokers_now(
        live=2, under_replicated=34, under_min_isr=2, leaderless=1, brokers=[broker_figures(1), down, slow]
    )
    page = text_of(viewer.get("/brokers/"))
    assert (
        "2 of 3 brokers are up; 1 partition has no leader and can't be used; 2 partitions refuse writes "
        "with acks=all; 34 partitions miss replicas; produce p99 is 230 ms on broker 3, over 100 ms."
    ) in html.unescape(page)
    assert "down" in row_of(page, 2)
    assert row_of(page, 2).count("unknown") == 6
    assert "230 ms over 100 ms" in row_of(page, 3)
    assert "Under-replicated and offline partitions" in page
    # The agent of a broker that is down is no further trouble.
    assert "metrics agent" not in page


def test_a_slow_broker_is_named(viewer: Client, brokers_now: BrokersNow) -> None:
    brokers_now(brokers=[broker_figures(1), broker_figures(2, produce_p99_ms=230.0)])
    assert "Produce p99 is 230 ms on broker 2, over 100 ms." in text_of(viewer.get("/brokers/"))


def test_a_p99_of_requests_long_past_is_no_alarm(viewer: Client, brokers_now: BrokersNow) -> None:
    idle = {"messages_in_per_s": 0.0, "produce_p99_ms": 900.0}
    brokers_now(brokers=[broker_figures(number, **idle) for number in (1, 2, 3)])
    page = text_of(viewer.get("/brokers/"))
    assert "request times are unknown" in page
    assert "no requests now" in row_of(page, 1)


def test_what_no_metrics_agent_tells_is_unknown(viewer: Client, brokers_now: BrokersNow) -> None:
    brokers_now(brokers=[broker_figures(number, **NO_FIGURES) for number in (1, 2, 3)])
    page = text_of(viewer.get("/brokers/"))
    assert "no metrics agent answers; KAFKA_BROKER_METRICS_URLS says where they are" in page
    assert row_of(page, 1).count("unknown") == 5
    assert "unknown no metrics agent tells" in tile_of(page, "Bytes in")
    assert "unknown no metrics agent tells" in tile_of(page, "Produce p99")


def test_the_sum_says_when_a_broker_is_missing_in_it(viewer: Client, brokers_now: BrokersNow) -> None:
    brokers_now(brokers=[broker_figures(1), broker_figures(2), broker_figures(3, **NO_FIGURES)])
    page = text_of(viewer.get("/brokers/"))
    assert "2 of 3 brokers told" in tile_of(page, "Bytes in")
    assert "the metrics agent of 1 does not answer" in page


def test_a_cluster_that_does_not_answer_is_unknown(viewer: Client, brokers_now: BrokersNow) -> None:
    known = brokers_now(ago_s=60)
    brokers_now(**UNREAD)
    page = text_of(viewer.get("/brokers/"))
    assert "The cluster does not answer." in page
    assert f'Stale, as of <time datetime="{known.sampled_at.isoformat()}"' in page
    assert "Kafka at 127.0.0.1:9092 does not answer" in page
    for label in ("Brokers up", "Under-replicated", "Under min ISR", "Leaderless", "Bytes in", "Produce p99"):
        assert tile_of(page, label).startswith(f"{label} unknown")
    # Who was there is shown, and that nobody knows more.
    assert "127.0.0.1:9092" in row_of(page, 1)
    assert row_of(page, 1).count("unknown") >= 7


def test_samples_that_stopped_are_stale(viewer: Client, brokers_now: BrokersNow) -> None:
    brokers_now(ago_s=120)
    page = text_of(viewer.get("/brokers/"))
    assert "Nobody knows how the cluster is now: it was last read 2 m ago." in page
    assert "Stale, as of" in page
    assert tile_of(page, "Under-replicated").startswith("Under-replicated unknown")


def test_before_the_first_sample_it_says_what_to_do(viewer: Client) -> None:
    page = text_of(viewer.get("/brokers/"))
    assert "The cluster has not been looked at yet." in page
    assert "manage.py status" in page
    assert "data-chart" not in page


def test_firing_alerts_are_linked(viewer: Client, brokers_now: BrokersNow) -> None:
    seed.install_default_rules()
    sample = brokers_now(under_replicated=34)
    measured = Measurement("broker", "under_replicated_partitions", {}, 34.0, sample.sampled_at)
    (alert,) = record_measurements([measured], now=sample.sampled_at)
    assert f'href="/alerts/{alert.pk}/"' in text_of(viewer.get("/brokers/"))


def test_charts_have_a_line_a_broker_and_gaps_where_nothing_was_told(
    viewer: Client, brokers_now: BrokersNow
) -> None:
    brokers_now(ago_s=20, brokers=[broker_figures(1), broker_figures(2)])
    brokers_now(ago_s=10, brokers=[broker_figures(1), broker_figures(2, **NO_FIGURES)])
    brokers_now(ago_s=1, brokers=[broker_figures(1, produce_p99_ms=80.0), broker_figures(2)])
    page = viewer.get("/brokers/?range=15m").content.decode()
    bytes_in = chart_in(page, "bytes-in-chart")
    assert [one["label"] for one in bytes_in["series"]] == ["broker 1", "broker 2"]
    assert bytes_in["series"][1]["values"] == [50_000, None, 50_000]
    produce = chart_in(page, "produce-chart")
    assert produce["series"][0]["values"] == [0.012, 0.012, 0.08]
    assert [line["value"] for line in produce["thresholds"]] == [0.1]


def test_a_wrong_range_is_named(viewer: Client, brokers_now: BrokersNow) -> None:
    brokers_now()
    page = text_of(viewer.get("/brokers/?range=1y"))
    assert "range: &#x27;1y&#x27; is not one of 15m, 1h, 6h, 24h" in page
    assert "All 3 brokers are up" in page


@pytest.mark.parametrize(("part", "begins"), [("now", "brokers"), ("charts", "broker-charts")])
def test_htmx_gets_a_part_alone(viewer: Client, brokers_now: BrokersNow, part: str, begins: str) -> None:
    brokers_now()
    page = viewer.get(f"/brokers/?part={part}", headers={"HX-Request": "true"}).content.decode()
    assert page.lstrip().startswith(f'<div id="{begins}"')


class TestShortPartitions:
    def test_a_healthy_cluster_is_not_asked(self, viewer: Client, brokers_now: BrokersNow) -> None:
        brokers_now()
        page = text_of(viewer.get("/brokers/partitions/"))
        assert "Under-replicated and offline partitions" not in page

    def test_they_are_read_from_the_cluster_the_worst_first(
        self, viewer: Client, brokers_now: BrokersNow, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cluster = Cluster(
            "tests",
            (Broker(1, "127.0.0.1", 9092), Broker(3, "127.0.0.1", 9098)),
            {
                "b": tuple(
                    Partition("b", number, 1, (1, 2, 3), (1, 2, 3) if number == 3 else (1, 3))
                    for number in range(6)
                ),
                "a": (Partition("a", 4, None, (2,), ()),),
            },
        )
        monkeypatch.setattr(broker_views, "read_cluster", lambda *_, **__: cluster)
        # Its port says that broker 3 is gone too, before the controller does.
        monkeypatch.setattr(broker_views, "connectable", lambda _: frozenset({1, 2}))
        brokers_now(under_replicated=2, leaderless=1)
        page = text_of(viewer.get("/brokers/partitions/"))
        rows = [plain(row) for row in re.findall(r"<tr.*?</tr>", page, re.S)[1:]]
        assert rows == [
            "a 4 1 0 of 1 broker 2 none",
            "b 0-2, 4-5 5 1 of 3 broker 2, 3 yes",
            "b 3 1 2 of 3 broker 3 yes",
        ]

    def test_a_cluster_that_does_not_answer_says_so(
        self, viewer: Client, brokers_now: BrokersNow, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(broker_views, "READ_TIMEOUT_S", 0.2)
        brokers_now(under_replicated=2)
        page = text_of(viewer.get("/brokers/partitions/"))
        assert "Which partitions these are is unknown" in page
        assert "127.0.0.1:1" in page


def test_every_figure_of_the_page_is_an_address_of_the_page(viewer: Client, brokers_now: BrokersNow) -> None:
    brokers_now(under_replicated=1)
    page = viewer.get("/brokers/").content.decode()
    for anchor in set(re.findall(r'<a class="tile[^>]*href="#([\w-]+)"', page)):
        assert f'id="{anchor}"' in page
