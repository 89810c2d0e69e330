"""The page of one consumer group: what is wrong, its partitions, its charts."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from gdsconsole.pipelines import services as pipelines
from tests.factories import partition_sample
from tests.lag.conftest import GroupNow, text_of
from tests.lag.reading_pages import BEHIND, UNREAD, chart_in, plain
from topics import seed
from topics.alerting.services import Measurement, record_measurements
from topics.models import TopicDefinition

pytestmark = pytest.mark.django_db


class TestGroupPage:
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
