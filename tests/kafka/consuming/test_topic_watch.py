"""Whether a client's topics are those that it began with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest

from gdsconsole.kafka.consuming.topic_watch import AFTER_SILENCE_S, TRUSTED_S, TopicWatch


class Cluster:
    """What the brokers tell, and how often they were asked."""

    def __init__(self, **ids: str) -> None:
        self.ids = ids
        self.asked = 0
        self.is_silent = False

    def __call__(self, topics: Iterable[str]) -> Mapping[str, str]:
        self.asked += 1
        if self.is_silent:
            raise ConnectionError("nobody answers")
        return {topic: self.ids[topic] for topic in topics if topic in self.ids}


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(a="a-1", b="b-1")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(cluster: Cluster, clock: Clock) -> TopicWatch:
    made = TopicWatch(cluster, clock)
    assert made.begins_with("a", "a-1")
    assert made.begins_with("b", "b-1")
    return made


def sees(watch: TopicWatch) -> list[str]:
    watch.sees_another(["a", "b"], soon=True)
    return watch.made_again


def test_records_that_come_one_after_the_other_ask_once_in_a_while(watch, cluster, clock):
    for _ in range(10):
        assert sees(watch) == []
        clock.now += TRUSTED_S / 5
    assert cluster.asked == 2


def test_a_topic_made_again_is_seen_before_the_next_records(watch, cluster, clock):
    assert sees(watch) == []
    cluster.ids["b"] = "b-2"
    clock.now += TRUSTED_S
    assert sees(watch) == ["b"]
    assert not watch.begins_with("b", "b-2")
    watch.begin_anew()
    assert watch.begins_with("b", "b-2")
    assert sees(watch) == []


def test_a_topic_that_is_missing_is_no_other_and_hides_none(watch, cluster, clock):
    del cluster.ids["a"]
    assert sees(watch) == []
    clock.now += TRUSTED_S
    cluster.ids["b"] = "b-2"
    assert sees(watch) == ["b"]


def test_an_outage_is_asked_about_no_more_than_now_and_then(watch, cluster, clock):
    cluster.is_silent = True
    for _ in range(10):
        assert sees(watch) == []
        clock.now += AFTER_SILENCE_S / 5
    assert cluster.asked == 2


def test_a_broker_that_lags_behind_makes_no_topic_that_is_gone_ours_again(watch, cluster, clock):
    cluster.ids["a"] = "a-2"
    assert sees(watch) == ["a"]
    watch.begin_anew()
    assert not watch.begins_with("a", "a-1")
    assert watch.begins_with("a", "a-2")
    cluster.ids["a"] = "a-1"
    assert sees(watch) == []


def test_a_clock_that_is_set_back_trusts_nothing(watch, cluster, clock):
    assert sees(watch) == []
    clock.now -= 3_600
    assert sees(watch) == []
    assert cluster.asked == 2
