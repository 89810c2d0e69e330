"""The samplers as beat runs them, against a real cluster, through broker deaths and outages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.utils import timezone

from gdsconsole.devstack import ports
from gdsconsole.devstack.kafka_cluster import KafkaCluster
from gdsconsole.live import publish
from gdsconsole.live.snapshots import client, latest
from lag import tasks
from lag.models import BrokerSample, GroupSample, Status
from tests.lag.kafka_groups import Groups
from tests.waiting import wait_until
from topics.models import Alert, AlertState
from topics.seed import install_default_rules

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.django_db]


@pytest.fixture(autouse=True)
def fresh(redis_url: str, kafka: KafkaCluster) -> Iterator[None]:
    """No memory of other tests' clusters."""
    tasks._history.cache_clear()
    tasks._times.cache_clear()
    install_default_rules()
    yield
    tasks._times.cache_clear()


def next_tick() -> None:
    client().delete(*client().keys("*:lag:tick:*") or ["none"])


def sample_brokers() -> BrokerSample:
    next_tick()
    tasks.sample_brokers()
    publish.flush()
    stored = BrokerSample.objects.newest()
    assert stored is not None
    return stored


def sample_lag() -> dict[str, GroupSample]:
    next_tick()
    tasks.sample_lag()
    publish.flush()
    return {row.group: row for row in GroupSample.objects.newest()}


def test_a_tick_is_sampled_once() -> None:
    assert tasks.sample_lag() is not None
    assert tasks.sample_lag() is None
    assert tasks.sample_brokers() == 3
    assert tasks.sample_brokers() is None
    assert BrokerSample.objects.count() == 1


def test_lag_over_the_threshold_fires_and_resolves(groups: Groups, topic_factory: Callable[..., str]) -> None:
    topic = topic_factory(partitions=1)
    group = groups.name()
    groups.produce(topic, 10_001)
    groups.commit(group, topic, {0: 0})
    row = sample_lag()[group]
    assert (row.total_lag, row.unknown_partitions, row.lost) == (10_001, 0, 0)
    alert = Alert.objects.get(subject=group)
    assert (alert.state, alert.value) == (AlertState.FIRING, 10_001)
    groups.commit(group, topic, {0: 10_001})
    row = sample_lag()[group]
    assert (row.total_lag, row.age_s) == (0, 0.0)
    alert.refresh_from_db()
    # It keeps firing for some seconds, against flapping.
    assert (alert.state, alert.last_value) == (AlertState.FIRING, 0)
    a_minute_ago = timezone.now() - timedelta(minutes=1)
    Alert.objects.filter(pk=alert.pk).update(good_since=a_minute_ago, last_sample_at=a_minute_ago)
    sample_lag()
    alert.refresh_from_db()
    assert alert.state == AlertState.RESOLVED


def test_topic_rates_are_measured(groups: Groups, fresh_topic: str) -> None:
    groups.produce(fresh_topic, 100)
    sample_lag()
    assert latest("topic.rates")[fresh_topic]["rate_in"] is None  # type: ignore[index]
    groups.produce(fresh_topic, 200)
    time.sleep(1.0)
    sample_lag()
    told = latest("topic.rates")[fresh_topic]  # type: ignore[index]
    assert told["end_total"] == 300
    assert 20 < told["rate_in"] <= 200


def test_brokers_and_their_figures(groups: Groups, fresh_topic: str) -> None:
    sample_brokers()
    groups.produce(fresh_topic, 5_000)
    time.sleep(1.0)
    stored = sample_brokers()
    assert (stored.live, stored.expected, stored.under_replicated, stored.leaderless) == (3, 3, 0, 0)
    assert stored.under_min_isr == 0
    assert (stored.error, len(stored.brokers)) == ("", 3)
    assert [broker["controller"] for broker in stored.brokers].count(True) == 1
    assert all(broker["up"] and broker["address"] for broker in stored.brokers)
    assert sum(broker["messages_in_per_s"] for broker in stored.brokers) > 100
    leader = next(broker for broker in stored.brokers if broker["messages_in_per_s"] > 100)
    assert leader["produce_p99_ms"] > 0
    assert leader["bytes_in_per_s"] > 0


def test_a_killed_broker_shows_within_ten_seconds_and_resolves(
    kafka: KafkaCluster, topic_factory: Callable[..., str]
) -> None:
    topic_factory(partitions=6)
    whole = sample_brokers()
    assert (whole.live, whole.under_replicated) == (3, 0)
    killed_at = time.monotonic()
    kafka.broker(2).kill()

    stored = sample_brokers()
    took_s = time.monotonic() - killed_at
    assert stored.live == 2, stored.error
    assert stored.under_replicated is not None
    assert stored.under_replicated >= 6
    (dead,) = [broker for broker in stored.brokers if not broker["up"]]
    assert (dead["id"], dead["messages_in_per_s"], dead["under_replicated"]) == (2, None, None)
    assert dead["address"] == next(one["address"] for one in whole.brokers if one["id"] == 2)
    told = latest("brokers.sampled")
    assert told is not None
    assert told["cluster"]["brokers"] == 2
    alert = Alert.objects.get(metric_name="under_replicated_partitions")
    assert alert.state == AlertState.FIRING
    # A tick comes first, in a console: 5 s.
    assert took_s < 5, f"the sample after the kill took {took_s:.1f} s"

    kafka.broker(2).start()

    def whole_again() -> bool:
        seen = sample_brokers()
        return seen.live == 3 and seen.under_replicated == 0

    wait_until(whole_again, 90, "the broker is back and in sync", every_s=1.0)
    alert.refresh_from_db()
    assert alert.state == AlertState.RESOLVED
    assert not Alert.objects.open().exclude(metric_name="request_latency_p99_ms").exists()


def test_an_outage_of_the_whole_cluster_is_unknown_and_raises_nothing(
    groups: Groups, fresh_topic: str, settings: LazySettings
) -> None:
    group = groups.name()
    groups.produce(fresh_topic, 3)
    groups.commit(group, fresh_topic, {0: 1})
    assert sample_lag()[group].total_lag == 2
    assert sample_brokers().live == 3
    settings.KAFKA_BOOTSTRAP_SERVERS = f"127.0.0.1:{ports.free(1)[0]}"
    row = sample_lag()[group]
    assert (row.status, row.total_lag, row.unknown_partitions) == (Status.UNKNOWN, None, None)
    assert settings.KAFKA_BOOTSTRAP_SERVERS in row.reason
    stored = sample_brokers()
    assert (stored.live, stored.under_replicated) == (None, None)
    assert settings.KAFKA_BOOTSTRAP_SERVERS in stored.error
    # The brokers' own ports still take connections, so nothing is offline.
    assert not Alert.objects.filter(metric_name="offline_brokers").exists()
