"""Both ways of sharing partitions, on real brokers: the classic protocol, and KIP-848's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import NewPartitions

from gdsconsole.devstack.kafka_cluster import KafkaCluster
from gdsconsole.env import GroupProtocol
from gdsconsole.kafka.config import ClientSettings, WrongClientConfig
from gdsconsole.kafka.consuming.decoding import ValueDecoder
from gdsconsole.kafka.consuming.equipment import Stores, Timing, Transport, Work
from gdsconsole.kafka.consuming.runtime import ConsumerRuntime
from gdsconsole.kafka.consuming.static_member import open_member
from gdsconsole.kafka.errors import FencedError, MemberNotReleased
from tests.integration.test_runtime_on_kafka import committed, ends
from tests.kafka.steps import Database, MemoryFailures, MemoryHalts, StoreStep, decode_text, known_as
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka]
PARTITIONS = 12


@pytest.fixture(params=["classic", "consumer"])
def protocol(request: pytest.FixtureRequest) -> GroupProtocol:
    return request.param


@pytest.fixture
def client(kafka: KafkaCluster) -> ClientSettings:
    return ClientSettings(kafka.bootstrap_servers)


@contextmanager
def consumer(
    client: ClientSettings, topic: str, database: Database, protocol: GroupProtocol, *, slot: int = 0
) -> Iterator[ConsumerRuntime]:
    pipeline = ConsumerRuntime(
        topic,
        transport=Transport(
            open_source=lambda hooks: open_member(
                client, group=topic, slot=slot, hooks=hooks, protocol=protocol
            ),
            identify=known_as(),
        ),
        work=Work(ValueDecoder(decode_text), StoreStep(database)),
        stores=Stores(MemoryFailures(database), MemoryHalts(database)),
        timing=Timing(idle_s=0.05),
    )
    pipeline.subscribe([topic])
    try:
        yield pipeline
    finally:
        pipeline.close(commit=True)


def send(client: ClientSettings, topic: str, values: list[str]) -> None:
    producer = Producer({"bootstrap.servers": client.bootstrap_servers, "linger.ms": 5})
    for value in values:
        producer.produce(topic, value.encode())
    assert producer.flush(30) == 0


def until(consumers: list[ConsumerRuntime], predicate: Any, what: str, timeout_s: float = 40) -> None:
    def turn() -> bool:
        for one in consumers:
            one.run_once()
        return bool(predicate())

    wait_until(turn, timeout_s, what, every_s=0)


def shares(consumers: list[ConsumerRuntime]) -> list[int]:
    return sorted(len(one.snapshot().partitions) for one in consumers)


def test_three_consumers_share_and_a_restart_of_one_moves_nothing(client, topic_factory, protocol):
    topic, database = topic_factory(partitions=PARTITIONS), Database()
    sent = [f"m{n}" for n in range(600)]
    with ExitStack() as stack:
        steady = [stack.enter_context(consumer(client, topic, database, protocol, slot=n)) for n in (0, 1)]
        with consumer(client, topic, database, protocol, slot=2) as third:
            until([*steady, third], lambda: shares([*steady, third]) == [4, 4, 4], "4 partitions each")
            send(client, topic, sent[:300])
            until([*steady, third], lambda: len(database.effects) >= 300, "the first half is applied")
            theirs = third.snapshot().partitions
        before = [one.snapshot().counters["rebalances"] for one in steady]
        send(client, topic, sent[300:])
        with consumer(client, topic, database, protocol, slot=2) as third:
            until([*steady, third], lambda: third.snapshot().partitions == theirs, "it has its share again")
            until([*steady, third], lambda: len(database.effects) >= 600, "the rest is applied")
            assert [one.snapshot().counters["rebalances"] for one in steady] == before
            until(
                [*steady, third],
                lambda: committed(client, topic, topic, PARTITIONS) == ends(client, topic, PARTITIONS),
                "all is committed",
            )
    assert sorted(database.effects) == sorted(sent)


def test_a_partition_added_later_is_shared(client, topic_factory, kafka_admin, protocol):
    topic, database = topic_factory(partitions=2), Database()
    with consumer(client, topic, database, protocol) as one:
        until([one], lambda: len(one.snapshot().partitions) == 2, "two are held")
        kafka_admin.create_partitions([NewPartitions(topic, 3)])[topic].result(30)
        until([one], lambda: len(one.snapshot().partitions) == 3, "the new one is held too")


def test_a_group_goes_on_by_the_other_protocol_where_it_stopped(client, fresh_topic):
    database = Database()
    for number, protocol in enumerate(("classic", "consumer", "classic")):
        send(client, fresh_topic, [f"m{number}"])
        with consumer(client, fresh_topic, database, protocol) as one:
            until([one], lambda count=number + 1: len(database.effects) == count, f"by {protocol}")
    assert database.effects == ["m0", "m1", "m2"]


def test_of_two_holders_of_a_slot_the_classic_protocol_ends_the_earlier(client, fresh_topic):
    database = Database()
    with (
        consumer(client, fresh_topic, database, "classic") as old,
        consumer(client, fresh_topic, database, "classic") as new,
        pytest.raises(FencedError),
    ):
        until([old, new], lambda: False, "one of them ends")


def test_of_two_holders_of_a_slot_kip_848_lets_the_later_wait(client, fresh_topic):
    database = Database()
    with consumer(client, fresh_topic, database, "consumer") as old:
        until([old], lambda: len(old.snapshot().partitions) == 3, "the first holds them")
        with consumer(client, fresh_topic, database, "consumer") as new, pytest.raises(MemberNotReleased):
            until([old, new], lambda: False, "the second is refused")
        old.run_once()
        assert len(old.snapshot().partitions) == 3


def test_the_protocol_is_not_set_as_a_property_of_every_client():
    with pytest.raises(WrongClientConfig, match=r"KAFKA_CONFIG_GROUP_PROTOCOL.*GDS_GROUP_PROTOCOL"):
        ClientSettings("127.0.0.1:9", {"group.protocol": "consumer"})
