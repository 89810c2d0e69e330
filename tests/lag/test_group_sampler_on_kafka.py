"""What a reading says of groups on a real cluster, in the cases where lag is often shown wrong."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from gdsconsole.devstack.kafka_cluster import KafkaCluster
from gdsconsole.kafka.browsing.record_times import RecordTimes
from gdsconsole.kafka.cluster.groups import GroupListing
from gdsconsole.kafka.config import ClientSettings
from gdsconsole.kafka.errors import KafkaUnavailable
from gdsconsole.kafka.offsets.start_offsets import label
from lag import group_sampler
from lag.group_sampler import take_snapshot
from lag.models import Method
from tests.kafka.deleting import delete_before
from tests.lag.kafka_groups import Groups
from tests.waiting import wait_until

pytestmark = pytest.mark.kafka


def test_a_group_that_is_behind(groups: Groups, fresh_topic: str) -> None:
    groups.produce(fresh_topic, 30)
    group = groups.name()
    with groups.member(group, fresh_topic, read=30):
        groups.produce(fresh_topic, 12)
        groups.produce(fresh_topic, 5, partition=2)
        found = groups.read(group)
    assert (found.state, found.members, found.error) == ("Stable", 1, None)
    behind, empty, uncommitted = found.partitions
    assert (behind.committed, behind.end, behind.log_start, behind.lag, behind.lost) == (30, 42, 0, 12, 0)
    assert behind.is_assigned
    assert behind.method is Method.RECORD
    assert behind.age_s is not None
    assert 0 <= behind.age_s < 60
    # Nothing was ever written here, so there is nothing to be behind with.
    assert (empty.committed, empty.lag, empty.method) == (None, 0, Method.CAUGHT_UP)
    assert (uncommitted.committed, uncommitted.end, uncommitted.lag, uncommitted.lost) == (
        None,
        5,
        None,
        None,
    )
    assert uncommitted.reason == "no commit: 0 behind by auto.offset.reset=latest, 5 by earliest"
    assert uncommitted.age_s is None


def test_a_group_that_left(groups: Groups, fresh_topic: str) -> None:
    groups.produce(fresh_topic, 10)
    group = groups.name()
    with groups.member(group, fresh_topic, read=10):
        pass
    found = groups.read(group)
    assert (found.state, found.members) == ("Empty", 0)
    assert [(part.lag, part.is_assigned) for part in found.partitions] == [(0, None)] * 3


def test_the_age_is_that_of_the_oldest_unread_record(groups: Groups, fresh_topic: str) -> None:
    groups.produce(fresh_topic, 3)
    an_hour_ago = int((time.time() - 3_600) * 1_000)
    producer = Producer({"bootstrap.servers": groups.settings.bootstrap_servers})
    producer.produce(fresh_topic, b"old", partition=0, timestamp=an_hour_ago)
    assert producer.flush(30) == 0
    group = groups.name()
    groups.commit(group, fresh_topic, {0: 3})
    (part,) = groups.read(group).partitions
    assert part.method is Method.RECORD
    assert part.age_s == pytest.approx(3_600, abs=60)


def test_markers_of_transactions_are_no_lag(groups: Groups, topic_factory: Callable[..., str]) -> None:
    """Whoever read all records stands before the marker: the naive difference stays 1 for ever."""
    topic = topic_factory(partitions=1)
    group = groups.name()
    groups.produce(topic, 1, transactional=True)
    with groups.member(group, topic, read=1):
        (part,) = groups.read(group).partitions
    assert (part.committed, part.end) == (1, 2)
    assert (part.lag, part.age_s, part.method) == (0, 0.0, Method.MARKERS)


def test_three_markers_are_none_either_and_a_record_behind_them_is(
    groups: Groups, topic_factory: Callable[..., str]
) -> None:
    topic = topic_factory(partitions=1)
    group = groups.name()
    groups.produce(topic, 1)
    for _ in range(3):
        _aborted(groups, topic)
    groups.commit(group, topic, {0: 1})
    (part,) = groups.read(group).partitions
    assert part.end is not None
    assert part.end - 1 > 3
    assert (part.lag, part.method) == (0, Method.MARKERS)
    groups.produce(topic, 1, transactional=True)
    (part,) = groups.read(group).partitions
    assert part.method is Method.RECORD
    assert part.lag


def _aborted(groups: Groups, topic: str) -> None:
    servers = groups.settings.bootstrap_servers
    producer = Producer({"bootstrap.servers": servers, "transactional.id": groups.name()})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic, b"never", partition=0)
    producer.flush(30)
    producer.abort_transaction(30)


def test_an_open_transaction_is_not_waited_for(groups: Groups, topic_factory: Callable[..., str]) -> None:
    topic = topic_factory(partitions=1)
    group = groups.name()
    groups.produce(topic, 4)
    servers = groups.settings.bootstrap_servers
    producer = Producer({"bootstrap.servers": servers, "transactional.id": groups.name()})
    producer.init_transactions(30)
    producer.begin_transaction()
    for _ in range(6):
        producer.produce(topic, b"open", partition=0)
    assert producer.flush(30) == 0
    groups.commit(group, topic, {0: 3})
    (part,) = groups.read(group).partitions
    assert (part.end, part.lag, part.reason) == (4, 1, "6 more wait for open transactions")
    # A group that committed past it reads uncommitted: its lag is by the high watermark.
    groups.commit(group, topic, {0: 7})
    (part,) = groups.read(group).partitions
    assert (part.end, part.lag) == (10, 3)
    producer.abort_transaction(30)


def test_what_retention_deleted_is_lost_and_no_lag(
    groups: Groups, fresh_topic: str, kafka_admin: AdminClient
) -> None:
    group = groups.name()
    groups.produce(fresh_topic, 100)
    groups.commit(group, fresh_topic, {0: 20})
    delete_before(kafka_admin, fresh_topic, 0, 60)
    (part,) = groups.read(group).partitions
    assert (part.committed, part.log_start, part.end) == (20, 60, 100)
    assert (part.lag, part.lost) == (40, 40)
    assert part.method is Method.RECORD


def test_a_deleted_topic_drops_out(
    groups: Groups, topic_factory: Callable[..., str], kafka_admin: AdminClient
) -> None:
    kept, gone = topic_factory(partitions=1), topic_factory(partitions=1)
    group = groups.name()
    for topic in (kept, gone):
        groups.produce(topic, 5)
        groups.commit(group, topic, {0: 1})
    assert {part.topic for part in groups.read(group).partitions} == {kept, gone}
    kafka_admin.delete_topics([gone])[gone].result(30)
    wait_until(lambda: gone not in kafka_admin.list_topics(timeout=5).topics, 30, f"{gone} is deleted")
    found = wait_until(
        lambda: [reading for reading in [groups.read(group)] if len(reading.partitions) == 1],
        30,
        "one topic is left",
    )
    assert [(part.topic, part.lag) for part in found[0].partitions] == [(kept, 4)]


def test_a_topic_made_anew_is_another(
    groups: Groups, topic_factory: Callable[..., str], kafka_admin: AdminClient
) -> None:
    topic = topic_factory(partitions=1)
    group = groups.name()
    groups.produce(topic, 50)
    groups.commit(group, topic, {0: 50})
    (old,) = groups.read(group).partitions
    kafka_admin.delete_topics([topic])[topic].result(30)
    wait_until(lambda: topic not in kafka_admin.list_topics(timeout=5).topics, 30, f"{topic} is deleted")
    wait_until(
        lambda: kafka_admin.create_topics([NewTopic(topic, 1, 3)])[topic].exception(30) is None,
        30,
        f"{topic} is made anew",
    )
    groups.produce(topic, 2)
    # A consumer that hasn't noticed commits where it stood.
    groups.commit(group, topic, {0: 50})
    (anew,) = groups.read(group).partitions
    assert anew.topic_id != old.topic_id
    assert (anew.end, anew.lag) == (2, None)
    assert anew.reason == "committed 50 is beyond the log's end 2: the group will be reset"
    groups.commit(group, topic, {0: 1})
    (anew,) = groups.read(group).partitions
    assert (anew.committed, anew.lag) == (1, 1)
    # The console's own groups say what a commit is of.
    groups.commit(group, topic, {0: 2}, metadata=label(old.topic_id))
    (anew,) = groups.read(group).partitions
    assert (anew.committed, anew.lag, anew.lost) == (None, 2, 0)
    assert "is of a topic that had the name before" in anew.reason
    groups.commit(group, topic, {0: 2}, metadata=label(anew.topic_id))
    (anew,) = groups.read(group).partitions
    assert (anew.committed, anew.lag, anew.is_own) == (2, 0, True)


def test_partitions_added_later_are_read_at_once(
    groups: Groups, topic_factory: Callable[..., str], kafka_admin: AdminClient
) -> None:
    """A client keeps the partition count it knew, for minutes, until asked for that very topic."""
    topic = topic_factory(partitions=1)
    group = groups.name()
    groups.produce(topic, 5)
    with groups.member(group, topic, read=5):
        assert len(groups.read(group).partitions) == 1
        kafka_admin.create_partitions([NewPartitions(topic, 3)])[topic].result(30)
        found = wait_until(
            lambda: [one for one in [groups.partitions(group)] if len(one) == 3], 30, "three partitions"
        )[0]
    assert [found[number].lag for number in range(3)] == [0, 0, 0]
    assert [found[number].reason for number in range(3)] == ["", "", ""]


def test_hand_assigned_groups_are_measured_on_what_they_committed(groups: Groups, fresh_topic: str) -> None:
    group = groups.name()
    for partition in range(3):
        groups.produce(fresh_topic, 5, partition=partition)
    groups.commit(group, fresh_topic, {1: 2})
    assert {number: part.lag for number, part in groups.partitions(group).items()} == {1: 3}


def test_the_ends_of_topics_are_read_for_their_rates(groups: Groups, fresh_topic: str) -> None:
    groups.produce(fresh_topic, 5)
    groups.produce(fresh_topic, 7, partition=1)
    first = groups.snapshot().topics[fresh_topic]
    assert first.end_total == 12
    groups.produce(fresh_topic, 3, partition=2)
    second = groups.snapshot().topics[fresh_topic]
    assert (second.end_total, second.topic_id) == (15, first.topic_id)
    assert not any(topic.startswith("__") for topic in groups.snapshot().topics)


def test_nobody_answers() -> None:
    nowhere = ClientSettings("127.0.0.1:1")
    with pytest.raises(KafkaUnavailable, match=r"Kafka at 127\.0\.0\.1:1 is unreachable"):
        take_snapshot(nowhere, times=RecordTimes(nowhere))


def test_a_dead_leader_makes_its_partitions_unknown_and_no_others(
    groups: Groups, kafka: KafkaCluster, kafka_admin: AdminClient, topic_factory: Callable[..., str]
) -> None:
    topic = topic_factory(partitions=3, replication=1)
    group = groups.name()
    for partition in range(3):
        groups.produce(topic, 5, partition=partition)
    groups.commit(group, topic, {0: 1, 1: 2, 2: 3})
    assert [part.lag for part in groups.read(group).partitions] == [4, 3, 2]
    parts = kafka_admin.list_topics(topic, timeout=10).topics[topic].partitions
    dead = parts[0].leader
    kafka.broker(dead).kill()

    def is_read() -> bool:
        """Whether all that can be known is known; whatever is known on the way there is right."""
        try:
            seen = groups.snapshot(group)
        except KafkaUnavailable:
            return False  # who is asked may just have died
        # While its coordinator moves no broker lists it, which must not read as deleted.
        (reading,) = seen.groups
        for part in reading.partitions:
            assert part.committed == part.partition + 1
            if part.lag is None:
                assert (part.end, part.log_start) == (None, None)
                assert part.reason
            else:
                assert part.lag == 4 - part.partition
                assert parts[part.partition].leader != dead
        known = {part.partition for part in reading.partitions if part.lag is not None}
        return known == {number for number in parts if parts[number].leader != dead}

    wait_until(is_read, 60, "all but what the broker led can be read without it")


def test_a_group_that_is_listed_nowhere_is_unknown_until_its_coordinator_says_that_it_is_gone(
    groups: Groups, fresh_topic: str, kafka_admin: AdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for the moment in which a coordinator moves, which no test can hold open."""
    groups.produce(fresh_topic, 5)
    group = groups.name()
    groups.commit(group, fresh_topic, {0: 1})
    assert groups.read(group).error is None
    monkeypatch.setattr(group_sampler, "list_groups", lambda *_, **__: GroupListing((), None))
    seen = groups.read(group)
    assert (seen.error, seen.members) == ("its coordinator is moving to another broker", None)
    kafka_admin.delete_consumer_groups([group])[group].result(30)
    assert groups.snapshot(group).groups == ()


def test_a_hundred_groups_in_one_sweep(groups: Groups, topic_factory: Callable[..., str]) -> None:
    """2,400 partitions: a client and a call a group would take 57 ms each."""
    topics = [topic_factory(partitions=12) for _ in range(2)]
    names = [groups.name() for _ in range(100)]
    for topic in topics:
        for partition in range(12):
            groups.produce(topic, 50, partition=partition)
        for number, group in enumerate(names):
            groups.commit(group, topic, dict.fromkeys(range(12), number % 50))
    groups.snapshot(*names)
    started = time.perf_counter()
    cpu = time.process_time()
    found = groups.snapshot(*names)
    took_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu
    print(f"100 groups of 24 partitions: {took_s * 1000:.0f} ms, {cpu_s * 1000:.0f} ms of CPU")  # noqa: T201
    assert sum(len(group.partitions) for group in found.groups) == 2_400
    by_name = {group.group: group for group in found.groups}
    for number, name in enumerate(names):
        assert {part.lag for part in by_name[name].partitions} == {50 - number % 50}
    assert cpu_s < 1.0
