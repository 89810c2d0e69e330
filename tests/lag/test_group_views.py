"""The pages of consumer groups: the list, one group, and what they say when nobody knows."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from gdsconsole.access import ROLES
from gdsconsole.pipelines import services as pipelines
from lag.models import GroupSample
from lag.urls import urlpatterns
from tests.factories import partition_sample
from tests.lag.conftest import text_of
from tests.text.odd_names import ODD, walked
from topics import seed
from topics.alerting.services import Measurement, record_measurements
from topics.models import TopicDefinition

pytestmark = pytest.mark.django_db

GroupNow = Callable[..., GroupSample]

BEHIND: dict[str, Any] = {
    "status": "slow",
    "reason": "gds.metrics.production-0: 43,210 behind and not catching up (+120.0/s)",
    "total_lag": 43_210,
    "age_s": 200.0,
    "consumed_per_s": 880.0,
    "produced_per_s": 1_000.0,
    "partitions": [
        partition_sample(lag=43_210, committed=100, end=43_310, age_s=200.0, method="record", status="slow")
    ],
}
UNREAD: dict[str, Any] = {
    "state": "Unknown",
    "status": "unknown",
    "reason": "Kafka at 127.0.0.1:9092 does not answer",
    "members": None,
    "total_lag": None,
    "unknown_partitions": None,
    "lost": None,
    "age_s": None,
    "consumed_per_s": None,
    "produced_per_s": None,
    "partitions": [],
}


def plain(markup: str) -> str:
    """The words of a piece of a page."""
    return html.unescape(" ".join(re.sub(r"<[^>]+>", " ", markup).split()))


def row_of(page: str, group: str) -> str:
    """The row of a group, as text without tags."""
    rows = re.findall(r"<tr id=\"group-.*?</tr>", page, re.S)
    found = next(row for row in rows if f">{group}</a>" in row)
    return plain(found)


def groups_in(page: str) -> list[str]:
    return re.findall(r'class="row-link" href="[^"]*">([^<]*)</a>', page)


def chart_in(page: str, name: str) -> dict[str, Any]:
    found = re.search(rf'id="{name}-data"[^>]*>(.*?)</script>', page, re.S)
    assert found is not None
    parsed: dict[str, Any] = json.loads(found[1])
    return parsed


PATHS = ("/lag/", "/lag/gds-alerting/", "/brokers/", "/brokers/partitions/")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("role", ["anonymous", "nobody", *ROLES])
def test_who_may_look(path: str, role: str, client_of: Callable[[str], Client], group_now: GroupNow) -> None:
    group_now("gds-alerting")
    client = client_of(role)
    response = client.get(path)
    if role == "anonymous":
        assert response.status_code == 302
        assert response["Location"].startswith("/login/")
    elif role == "nobody":
        assert response.status_code == 403
    else:
        assert response.status_code == 200
        assert client.post(path).status_code == 405


def test_every_address_of_the_app_is_in_the_table() -> None:
    for pattern in urlpatterns:
        arguments = ["gds-alerting"] if pattern.name == "group" else []
        assert reverse(f"lag:{pattern.name}", args=arguments) in PATHS


class TestList:
    def test_the_worst_comes_first_with_its_verdict_in_words(
        self, viewer: Client, group_now: GroupNow
    ) -> None:
        group_now(
            "gds-alerting",
            total_lag=12,
            age_s=0.4,
            partitions=[partition_sample(lag=12, age_s=0.4, method="record")],
        )
        group_now("gds-warehouse", **BEHIND)
        group_now("archiver", **BEHIND | {"status": "stopped", "total_lag": 900, "consumed_per_s": 0.0})
        page = text_of(viewer.get("/lag/"))
        assert groups_in(page) == ["archiver", "gds-warehouse", "gds-alerting"]
        assert "archiver has stopped, 900 messages (3 m 20 s) behind. gds-warehouse is behind too." in page
        row = row_of(page, "gds-warehouse")
        for shown in (
            "slow",
            "43.2 k",
            "3 m 20 s",
            "record's time",
            "880/s",
            "of 1 k/s",
            "never at this rate",
        ):
            assert shown in row
        assert "keeps up" in row_of(page, "gds-alerting")

    def test_a_group_that_catches_up_says_when(self, viewer: Client, group_now: GroupNow) -> None:
        group_now("gds-warehouse", total_lag=5_000, eta_s=95.0)
        assert "in 1 m 35 s" in row_of(text_of(viewer.get("/lag/")), "gds-warehouse")

    def test_unknown_is_unknown_and_says_why(self, viewer: Client, group_now: GroupNow) -> None:
        reason = "gds.metrics.production-0: no commit: 0 behind by auto.offset.reset=latest, 9 by earliest"
        group_now(
            "reader", status="unknown", reason=reason, total_lag=None, unknown_partitions=3, lost=None,
            age_s=None, consumed_per_s=None, produced_per_s=None,
        )  # fmt: skip
        group_now("gds-alerting")
        row = row_of(text_of(viewer.get("/lag/")), "reader")
        assert row.count("unknown") >= 5
        assert "3 partitions unknown" in row
        assert reason in row
        assert not re.search(r"\b0\b", row.replace(reason, ""))

    def test_what_retention_deleted_stands_apart(self, viewer: Client, group_now: GroupNow) -> None:
        group_now("gds-warehouse", **BEHIND | {"lost": 1_234})
        page = text_of(viewer.get("/lag/"))
        assert "Retention deleted 1.2 k messages, unread by gds-warehouse." in page
        assert "43.2 k" in row_of(page, "gds-warehouse")
        assert "1.2 k" in row_of(page, "gds-warehouse")

    def test_the_limit_of_the_alert_rule_is_marked(self, viewer: Client, group_now: GroupNow) -> None:
        seed.install_default_rules()
        group_now("gds-warehouse", **BEHIND)
        group_now("gds-alerting")
        page = text_of(viewer.get("/lag/"))
        assert "over 10 k" in row_of(page, "gds-warehouse")
        assert "of 10 k" in row_of(page, "gds-alerting")
        assert chart_in(page, "worst-groups")["thresholds"][0]["value"] == 10_000

    def test_an_outage_is_stale_and_unknown_and_never_zero(self, viewer: Client, group_now: GroupNow) -> None:
        known = group_now("gds-alerting", ago_s=60, total_lag=77)
        group_now("gds-alerting", **UNREAD)
        page = text_of(viewer.get("/lag/"))
        assert "The lag of gds-alerting is unknown." in page
        assert f'Stale, as of <time datetime="{known.sampled_at.isoformat()}"' in page
        assert "Kafka at 127.0.0.1:9092 does not answer" in page
        row = row_of(page, "gds-alerting")
        assert "last known 77" in row
        assert not re.search(r"\b0\b", row)

    def test_samples_that_stopped_are_stale(self, viewer: Client, group_now: GroupNow) -> None:
        group_now("gds-alerting", ago_s=240, total_lag=77)
        page = text_of(viewer.get("/lag/"))
        assert "Nobody knows the lag now: it was last read 4 m ago." in page
        assert "Stale, as of" in page
        row = row_of(page, "gds-alerting")
        assert "last known 77" in row
        assert "ok" not in row.split()

    def test_without_a_group_it_says_what_to_do(self, viewer: Client) -> None:
        page = text_of(viewer.get("/lag/"))
        assert "No consumer group has been seen yet." in page
        assert "manage.py lag" in page

    def test_a_group_that_is_gone_is_not_listed(self, viewer: Client, group_now: GroupNow) -> None:
        group_now("gone", ago_s=5)
        group_now("gds-alerting")
        assert groups_in(text_of(viewer.get("/lag/"))) == ["gds-alerting"]

    @pytest.mark.parametrize(
        ("query", "shown"),
        [
            ("", ["b", "c", "a"]),
            ("status=behind", ["b"]),
            ("status=unknown", ["c"]),
            ("status=ok", ["a"]),
            ("status=stalled", []),
            ("q=A", ["a"]),
            ("q=nothing", []),
            ("sort=group", ["a", "b", "c"]),
            # Unknown is neither the most nor the least.
            ("sort=lag", ["a", "b", "c"]),
            ("sort=-lag", ["b", "a", "c"]),
        ],
    )
    def test_filters_and_order_live_in_the_address(
        self, viewer: Client, group_now: GroupNow, query: str, shown: list[str]
    ) -> None:
        group_now("a", total_lag=5)
        group_now("b", **BEHIND)
        group_now("c", **UNREAD)
        page = text_of(viewer.get(f"/lag/?{query}"))
        assert groups_in(page) == shown
        if not shown:
            assert "No group matches" in page

    @pytest.mark.parametrize("query", ["status=worse", "sort=-worse"])
    def test_a_wrong_filter_is_named(self, viewer: Client, group_now: GroupNow, query: str) -> None:
        group_now("gds-alerting")
        page = text_of(viewer.get(f"/lag/?{query}"))
        name, _, value = query.partition("=")
        assert f"{name} &#x27;{value}&#x27;: Select a valid choice." in page
        assert groups_in(page) == []

    def test_pages_are_bounded(
        self, viewer: Client, group_now: GroupNow, django_assert_max_num_queries: Any
    ) -> None:
        for number in range(120):
            group_now(f"group-{number:03}")
        with django_assert_max_num_queries(20):
            page = text_of(viewer.get("/lag/?page=3"))
        assert groups_in(page) == [f"group-{number:03}" for number in range(100, 120)]
        assert "of 120 groups" in page

    @pytest.mark.parametrize(
        ("part", "begins"),
        [("", "lag-rows"), ("head", "lag-head"), ("chart", "lag-chart"), ("x", "lag-rows")],
    )
    def test_htmx_gets_a_part_alone(
        self, viewer: Client, group_now: GroupNow, part: str, begins: str
    ) -> None:
        group_now("gds-alerting")
        page = viewer.get(f"/lag/?part={part}", headers={"HX-Request": "true"}).content.decode()
        assert page.lstrip().startswith(f'<div id="{begins}"')

    def test_names_are_text_and_find_their_page(self, viewer: Client, group_now: GroupNow) -> None:
        hostile = "a/b c?d=<script>alert(1)</script>&é"
        group_now(hostile, **BEHIND)
        for odd in ("", "two\nlines", ".."):
            group_now(odd, total_lag=1)
        page = viewer.get("/lag/").content.decode()
        assert "<script>alert" not in page
        for name, text in ((hostile, html.escape(hostile)), ("", "(no name)"), ("two\nlines", r"two\nlines")):
            path = reverse("lag:group", args=[name])
            assert f'href="{html.escape(path)}"' in page
            found = viewer.get(path).content.decode()
            assert f"<h1>{text}</h1>" in found
            assert "<script>alert" not in found

    def test_every_odd_name_s_link_as_rendered_opens_its_page(
        self, viewer: Client, group_now: GroupNow
    ) -> None:
        for name in ODD:
            group_now(name, **BEHIND)
        page = viewer.get("/lag/").content.decode()
        links = re.findall(r'class="row-link" href="([^"]*)"', page)
        opened = [viewer.get(walked(html.unescape(link))) for link in links]
        assert {answer.status_code for answer in opened} == {200}
        assert sorted(answer.context["name"] for answer in opened) == sorted(ODD)


class TestGroup:
    def test_a_group_never_seen_is_not_found(self, viewer: Client) -> None:
        assert viewer.get("/lag/nobody/").status_code == 404

    def test_it_says_what_is_wrong_and_shows_its_partitions_worst_first(
        self, viewer: Client, group_now: GroupNow
    ) -> None:
        parts = [
            partition_sample(partition=0, lag=10, committed=90),
            partition_sample(
                partition=1, lag=7_000, committed=100, end=7_100, log_start=50, lost=5, status="slow",
                age_s=70.0, method="interpolated", consumed_per_s=1.0, produced_per_s=2.0,
            ),
            partition_sample(
                partition=2, lag=None, committed=None, lost=None, age_s=None, method=None, status="unknown",
                consumed_per_s=None, reason="no commit: 0 by latest, 9 by earliest",
            ),
        ]  # fmt: skip
        group_now("gds-warehouse", **BEHIND | {"partitions": parts})
        page = text_of(viewer.get("/lag/gds-warehouse/"))
        assert (
            "It loses ground by 120/s, 43.2 k messages (3 m 20 s) behind; at this rate it never catches up."
            in page
        )
        rows = [plain(row) for row in re.findall(r"<tr id=\"partition-.*?</tr>", page, re.S)]
        assert [re.search(r"production (?:no commit\S* .*earliest )?(\d)", row)[1] for row in rows] == [
            "1",
            "2",
            "0",
        ]  # type: ignore[index]
        for shown in (
            "slow",
            "7,000",
            "1 m 10 s",
            "interpolated",
            "100",
            "7,100",
            "50",
            "5",
            "never at this rate",
        ):
            assert shown in rows[0]
        assert rows[1].count("unknown") >= 5
        assert "no commit: 0 by latest" in rows[1]

    def test_its_topics_pipeline_and_alerts_are_linked(self, viewer: Client, group_now: GroupNow) -> None:
        seed.install_default_rules()
        TopicDefinition.objects.create(name="gds.metrics.production")
        pipelines.ensure(groups={"warehouse": "gds-warehouse"})
        sample = group_now("gds-warehouse", **BEHIND)
        other = {"source": "lag", "name": "consumer_lag", "at": sample.sampled_at}
        (alert,) = record_measurements(
            [Measurement(labels={"group": "gds-warehouse"}, value=43_210.0, **other)], now=sample.sampled_at
        )
        record_measurements(
            [Measurement(labels={"group": "other"}, value=99_999.0, **other)], now=sample.sampled_at
        )
        page = text_of(viewer.get("/lag/gds-warehouse/"))
        assert f'href="/alerts/{alert.pk}/"' in page
        assert page.count("Consumer lag high</strong>") == 1
        assert 'href="/pipelines/#pipeline-warehouse"' in page
        assert 'href="/topics/gds.metrics.production/"' in page
        assert "Consumer lag high: alerts above 10,000" in page

    def test_charts_draw_gaps_as_gaps_and_the_limit(self, viewer: Client, group_now: GroupNow) -> None:
        seed.install_default_rules()
        for ago_s, lag in ((300, 100), (295, 12_000), (200, 9_000), (195, None), (190, 8_000), (0, 50)):
            group_now("g", ago_s=ago_s, total_lag=lag, consumed_per_s=1.0, produced_per_s=2.0)
        page = viewer.get("/lag/g/?range=15m").content.decode()
        lag = chart_in(page, "lag-chart")
        assert lag["series"][0]["values"] == [100, 12_000, None, 9_000, None, 8_000, None, 50]
        assert lag["series"][0]["live"] == "lag.sampled:g:total_lag"
        assert [line["value"] for line in lag["thresholds"]] == [10_000]
        assert lag["times"] == sorted(lag["times"])
        rates = chart_in(page, "rates-chart")
        assert [one["label"] for one in rates["series"]] == ["produced", "consumed"]
        assert 0 not in rates["series"][0]["values"]

    def test_the_range_lives_in_the_address(self, viewer: Client, group_now: GroupNow) -> None:
        group_now("g", ago_s=7_000, total_lag=3)
        group_now("g", total_lag=4)
        hour = chart_in(viewer.get("/lag/g/").content.decode(), "lag-chart")
        assert 3 not in hour["series"][0]["values"]
        response = viewer.get("/lag/g/?range=6h").content.decode()
        assert 3 in chart_in(response, "lag-chart")["series"][0]["values"]
        assert re.search(r'href="\?range=6h"\s+aria-current="true"', response)

    def test_a_wrong_range_is_named_and_the_rest_is_shown(self, viewer: Client, group_now: GroupNow) -> None:
        group_now("g", **BEHIND)
        page = text_of(viewer.get("/lag/g/?range=9w"))
        assert "range: &#x27;9w&#x27; is not one of 15m, 1h, 6h, 24h" in page
        assert "43,210" in page

    def test_in_an_outage_it_shows_what_was_known_last(self, viewer: Client, group_now: GroupNow) -> None:
        known = group_now("g", ago_s=60, **BEHIND)
        group_now("g", **UNREAD)
        page = text_of(viewer.get("/lag/g/"))
        assert "Its lag is unknown." in page
        assert page.count(f'datetime="{known.sampled_at.isoformat()}"') == 2
        assert "last known 43.2 k" in page
        assert "43,210" in page

    def test_a_group_that_is_gone_says_so(self, viewer: Client, group_now: GroupNow) -> None:
        group_now("gone", ago_s=900, total_lag=5, partitions=None)
        group_now("gds-alerting")
        page = text_of(viewer.get("/lag/gone/"))
        assert "The cluster no longer has this group" in page
        assert "Its partitions are no longer kept" in page

    def test_many_partitions_are_cut_the_worst_kept(self, viewer: Client, group_now: GroupNow) -> None:
        parts = [partition_sample(partition=number, lag=number) for number in range(250)]
        group_now("g", total_lag=31_125, partitions=parts)
        page = text_of(viewer.get("/lag/g/"))
        assert page.count('<tr id="partition-') == 200
        assert "and 50 more, each no worse than these" in page

    @pytest.mark.parametrize(
        ("part", "begins"),
        [
            ("now", '<div id="group"'),
            ("charts", '<div id="group-charts"'),
            ("partitions", '<section class="card" id="group-partitions"'),
        ],
    )
    def test_htmx_gets_a_part_alone(
        self, viewer: Client, group_now: GroupNow, part: str, begins: str
    ) -> None:
        group_now("g")
        page = viewer.get(f"/lag/g/?part={part}&range=15m", headers={"HX-Request": "true"}).content.decode()
        assert page.lstrip().startswith(begins)
        assert f"part={part}" in page
