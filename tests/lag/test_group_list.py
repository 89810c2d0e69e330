"""The list of consumer groups, and what it says when nobody knows."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.factories import partition_sample
from tests.lag.conftest import GroupNow, text_of
from tests.lag.reading_pages import BEHIND, UNREAD, chart_in, groups_in, row_of
from tests.text.odd_names import ODD, walked
from topics import seed

pytestmark = pytest.mark.django_db


class TestGroupList:
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
