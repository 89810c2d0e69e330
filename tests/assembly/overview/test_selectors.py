"""What the overview reads: from a real database and a real Redis, and without either's news."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User

from gdsconsole.assembly.overview import selectors
from gdsconsole.assembly.overview.model import Brokers, Group
from gdsconsole.assembly.pipeline_catalog import CATALOG
from gdsconsole.pipelines import services
from tests.assembly.overview.stored import Published, fire, make_rule, run_consumer
from tests.factories import make_dead_letter

NOW = datetime(2026, 1, 15, 10, 30, 30, tzinfo=UTC)

pytestmark = pytest.mark.django_db


@pytest.fixture
def published(redis_url: str) -> Published:
    return Published(redis_url, NOW)


@pytest.mark.redis
def test_the_state_of_a_console_that_is_well(published):
    for name in CATALOG:
        run_consumer(name, now=NOW, rate_in=50.0)
    published.everything()
    state = selectors.read_state(now=NOW)
    assert state.problems == []
    assert {tile.name: tile.value for tile in state.tiles} == {
        "messages": 50.0, "alerts": 0, "lag": 14, "letters": 0, "brokers": 3,
    }  # fmt: skip
    messages = state.tiles[0]
    assert list(messages.spark) == [50.0, 50.0, 50.0]
    assert messages.at == NOW.timestamp()
    assert state.readings.instances == 1
    assert [group.rate for group, _ in state.flow.metrics.groups][:1] == [50.0]


@pytest.mark.redis
def test_a_new_console_knows_nothing_and_says_so(redis_url):
    state = selectors.read_state(now=NOW)
    assert {tile.name: tile.value for tile in state.tiles} == {
        "messages": None, "alerts": 0, "lag": None, "letters": 0, "brokers": None,
    }  # fmt: skip
    # Every pipeline of the catalogue, though the reconciler has made no row yet.
    assert [pipeline.name for pipeline in state.readings.pipelines] == list(CATALOG)
    assert all(
        (one.state, one.running, one.rate_in) == ("starting", 0, None) for one in state.readings.pipelines
    )
    assert {problem.tone for problem in state.problems} == {"bad", "unknown"}


def test_without_redis_the_database_is_still_read(settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    fire(now=NOW)
    state = selectors.read_state(now=NOW)
    assert "Redis does not answer" in [problem.text for problem in state.problems]
    assert {tile.name: tile.value for tile in state.tiles} == {
        "messages": None, "alerts": 1, "lag": None, "letters": 0, "brokers": None,
    }  # fmt: skip
    assert state.tiles[1].spark[-1] == 1.0
    assert selectors.read_fleet(now=NOW) is None


@pytest.mark.redis
def test_samples_are_believed_for_20_seconds(published):
    published("lag.sampled", "a", {"group": "a", "status": "ok", "total_lag": 3}, age_s=19)
    published("lag.sampled", "gone", {"group": "gone", "status": "slow", "total_lag": 9}, age_s=21)
    published("brokers.sampled", "cluster", {"brokers": 3}, age_s=21)
    published("topic.rates", "gds.metrics.production", {"rate_in": 5.0, "end_total": 9}, age_s=21)
    readings = selectors.read_state(now=NOW).readings
    assert readings.lag is not None
    assert list(readings.lag.groups) == [Group("a", "ok", 3, 0)]
    assert readings.lag.at == NOW.timestamp() - 19
    assert readings.brokers is None
    assert readings.rate_in is None


@pytest.mark.redis
def test_a_cluster_that_does_not_answer_is_not_one_without_brokers(published):
    unanswered = {"brokers": None, "expected": 3, "under_replicated": None, "leaderless": None, "error": "x"}
    published("brokers.sampled", "cluster", unanswered)
    readings = selectors.read_state(now=NOW).readings
    assert readings.brokers == Brokers(None, 3, None, None, NOW.timestamp())


def test_counts_may_be_published_as_lists():
    sampled = {"cluster": {"brokers": [1, 2], "expected": 3, "published_at": NOW.timestamp()}}
    found = selectors.brokers_of(sampled, now=NOW.timestamp())
    assert found is not None
    assert (found.live, found.expected, found.under_replicated) == (2, 3, None)


def test_alerts_are_counted_by_severity_and_by_who_has_them():
    someone = User.objects.create_user("operator")
    fire(now=NOW, age_s=60, severity="critical", acknowledged_by=someone, acknowledged_at=NOW)
    fire(now=NOW, severity="warning")
    fire(now=NOW, state="pending", fired_at=None)
    fire(now=NOW, state="resolved", resolved_at=NOW)
    counts = selectors.read_alerts()
    assert (counts.critical, counts.warning, counts.info, counts.acknowledged) == (1, 1, 0, 1)
    assert counts.oldest == NOW - timedelta(seconds=60)


def test_the_worst_alerts_come_first_and_of_those_what_the_console_saw_last():
    fire("old-critical", now=NOW, age_s=600, severity="critical")
    fire("warning", now=NOW, severity="warning")
    fire("info", now=NOW, severity="info")
    # Its samples are a year old, and came just now.
    fire("late", now=NOW, severity="critical", started_at=NOW - timedelta(days=365))
    fire("pending", now=NOW, severity="critical", state="pending")
    found = selectors.read_firing()
    assert [row.alert.subject for row in found.rows] == ["late", "old-critical", "warning", "info"]
    assert (found.firing, found.more) == (4, 0)


def test_more_alerts_than_are_shown_are_counted(monkeypatch):
    monkeypatch.setattr(selectors, "ALERTS_SHOWN", 3)
    for n in range(5):
        fire(f"db-{n}", now=NOW, age_s=n)
    found = selectors.read_firing()
    assert [row.alert.subject for row in found.rows] == ["db-0", "db-1", "db-2"]
    assert (found.firing, found.more) == (5, 2)


@pytest.mark.parametrize(
    ("rule", "live"),
    [
        ({}, "metric.newest:prod-db-01/cpu_usage_percent:value"),
        ({"source": "lag", "metric_name": "consumer_lag"}, "lag.sampled:prod-db-01:total_lag"),
        ({"source": "broker", "metric_name": "offline_brokers"}, "alert.changed:{pk}:value"),
    ],
)
def test_an_alerts_newest_value_comes_from_where_it_is_measured(rule, live):
    alert = fire(now=NOW, rule=make_rule(**rule))
    (row,) = selectors.read_firing().rows
    assert row.now == 91.4
    assert row.live == live.format(pk=alert.pk)


def test_dead_letters_that_wait_are_counted_by_cause():
    make_dead_letter(error="one")
    make_dead_letter(error="one")
    make_dead_letter(error="two", state="failed")
    make_dead_letter(error="three", state="discarded")
    letters = selectors.read_dead_letters()
    assert (letters.waiting, letters.causes) == (3, 2)


@pytest.mark.redis
def test_a_consumer_says_its_rate_each_second_and_its_heartbeat_stands_in(published):
    services.ensure(groups={"alerting": "gds-alerting"})
    services.scale(name="alerting", consumers=3, actor="olga", now=NOW)
    for slot in range(3):
        run_consumer("alerting", now=NOW, slot=slot, rate_in=10.0 + slot)
    published("pipeline.stats", "alerting/0", {"rate_in": 99.0, "rate_out": 2.0}, age_s=1)
    published("pipeline.stats", "alerting/1", {"rate_in": 98.0}, age_s=7)
    published("pipeline.stats", "alerting/2", {"rate_in": None}, age_s=1)
    stats = selectors.latest_of(["pipeline.stats"])["pipeline.stats"]
    alerting = selectors.read_pipelines(stats, now=NOW)[0]
    assert alerting.rates == {0: 99.0, 1: 11.0, 2: None}
    # A version that counts nothing that comes of its records says no such rate.
    assert alerting.rates_out == {0: 2.0, 1: 11.0, 2: None}
    assert (alerting.running, alerting.wanted, alerting.rate_in) == (3, 3, 110.0)


@pytest.mark.redis
def test_a_consumer_whose_lease_is_over_has_no_rate(redis_url):
    run_consumer("alerting", now=NOW - timedelta(minutes=5), rate_in=10.0)
    alerting = selectors.read_pipelines(None, now=NOW)[0]
    assert (alerting.state, alerting.running, alerting.rates) == ("starting", 0, {0: None})


def test_a_pipeline_that_the_catalogue_does_not_know_comes_last():
    services.ensure(groups={"aaa": "gds-aaa"})
    assert [one.name for one in selectors.read_pipelines(None, now=NOW)] == [*CATALOG, "aaa"]


@pytest.mark.redis
def test_the_fleet_marks_what_fires_by_its_severity(published):
    for n in range(2):
        published.metric(f"db-{n}", "cpu_usage_percent", 40.0 + n)
        published.metric(f"db-{n}", "memory_used_percent", 60.0)
    make_rule(metric_name="memory_used_percent")
    rule = make_rule()
    fire("db-1", now=NOW, severity="warning", rule=rule)
    fire("db-1", now=NOW, severity="critical", rule=rule)
    fleet = selectors.read_fleet(now=NOW)
    assert fleet is not None
    assert [(row.instance, row.tone) for row in fleet.rows] == [("db-1", "bad"), ("db-0", "")]
    # In the order of the rules that watch them.
    assert [column.metric for column in fleet.columns] == ["memory_used_percent", "cpu_usage_percent"]
    assert [cell.tone for cell in fleet.rows[0].cells] == ["", "bad"]


def test_an_empty_fleet_is_explained_by_the_pipeline_that_shows_it():
    run_consumer("alerting", now=NOW)
    assert selectors.why_no_metrics(now=NOW) == ""
    services.pause(name="alerting", actor="olga", now=NOW)
    assert selectors.why_no_metrics(now=NOW) == "pipeline alerting is paused"


@pytest.mark.parametrize(
    ("intervals", "expected"),
    [
        ([], [0, 0, 0, 0]),
        ([(0, None)], [1, 1, 1, 1]),
        ([(75, None)], [0, 1, 1, 1]),
        ([(0, 80)], [1, 0, 0, 0]),
        ([(70, 70)], [0, 0, 0, 0]),
        ([(60, 85), (70, None)], [2, 2, 1, 1]),
        ([(101, None)], [0, 0, 0, 0]),
    ],
)
def test_how_many_hold_at_each_step(intervals, expected):
    assert selectors.holding_over_time(intervals, now=100, step_s=10, steps=4) == expected


@pytest.mark.redis
def test_sparklines_of_what_is_stored(redis_url):
    fire(now=NOW, age_s=40)
    fire(now=NOW, age_s=600, state="resolved", resolved_at=NOW - timedelta(seconds=20))
    fire(now=NOW, age_s=7_200, state="resolved", resolved_at=NOW - timedelta(seconds=3_600))
    for minutes in (0, 0, 3, 59, 61):
        make_dead_letter(indexed_at=NOW - timedelta(minutes=minutes))
    _, alerts, _, letters, _ = selectors.read_state(now=NOW).tiles
    assert list(alerts.spark[-4:]) == [1.0, 2.0, 1.0, 1.0]
    assert len(letters.spark) == 60
    assert (letters.spark[-1], letters.spark[-4], letters.spark[0]) == (2.0, 1.0, 1.0)
    assert sum(letters.spark) == 4
