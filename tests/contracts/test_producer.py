"""What dead letters and alert events rely on of a producer, true of the fake and of a real one."""

from __future__ import annotations

from typing import Any

from confluent_kafka import KafkaError

from tests.contracts.worlds import World


def test_nothing_is_delivered_before_it_is_asked_for_and_all_is_after_a_flush(world: World) -> None:
    producer = world.producer()
    outcomes: list[KafkaError | None] = []
    for n in range(5):
        producer.produce(world.topic, b"%d" % n, b"k", 0, on_delivery=lambda error, _: outcomes.append(error))
    assert len(producer) == 5
    assert outcomes == []
    assert producer.flush(30) == 0
    assert len(producer) == 0
    assert outcomes == [None] * 5
    assert world.values() == [b"0", b"1", b"2", b"3", b"4"]


def test_an_empty_flush_returns_at_once(world: World) -> None:
    assert world.producer().flush(30) == 0


def test_purged_records_are_not_written(world: World) -> None:
    producer = world.producer()
    delivered: list[Any] = []
    producer.produce(
        world.topic, b"a", b"k", 0, on_delivery=lambda error, _: error is None and delivered.append(b"a")
    )
    producer.purge()
    producer.poll(0)
    assert producer.flush(30) == 0
    producer.produce(world.topic, b"b", b"k", 0, on_delivery=lambda error, _: delivered.append(b"b"))
    assert producer.flush(30) == 0
    assert delivered == [b"b"]
    assert world.values() == [b"b"]
