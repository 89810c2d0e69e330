from __future__ import annotations

import signal
from collections import Counter
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from gdsconsole.devstack import ports
from gdsconsole.devstack.kafka_cluster import KafkaCluster
from gdsconsole.kafka.clients import ClientSettings, new_producer
from gdsconsole.kafka.errors import InvalidMessage
from gdsconsole.kafka.producing.sender import SendStalled
from gdsconsole.management.simulating import Result, Simulation
from tests.commands.running import end, manage, start
from tests.kafka.reading import read_all
from tests.kafka.remaking import remake
from tests.waiting import wait_until
from topics.telemetry import decode_metric


@pytest.fixture
def settings(kafka: KafkaCluster) -> ClientSettings:
    return ClientSettings(kafka.bootstrap_servers)


def is_poison(record: Any) -> bool:
    try:
        decode_metric(record.value())
    except InvalidMessage:
        return True
    return False


@pytest.mark.kafka
def test_a_run_sends_rate_times_seconds_records_and_says_how_many_are_poison(
    settings: ClientSettings, fresh_topic: str
) -> None:
    ended = manage(
        *("simulate", "--rate", "2000", "--seconds", "1.5", "--instances", "20", "--poison", "0.1"),
        *("--seed", "7", "--topic", fresh_topic),
    )
    assert ended.code == 0
    assert ended.result | {"seconds": 0, "rate": 0, "poison": 0} == {
        "sent": 3000,
        "delivered": 3000,
        "failed": 0,
        "poison": 0,
        "seconds": 0,
        "rate": 0,
    }
    records = read_all(settings, fresh_topic)
    assert len(records) == 3000
    assert sum(map(is_poison, records)) == ended.result["poison"]
    assert 200 < ended.result["poison"] < 400
    partitions_of_key = Counter(key for key, _ in {(record.key(), record.partition()) for record in records})
    assert len(partitions_of_key) == 20
    assert set(partitions_of_key.values()) == {1}


@pytest.mark.kafka
def test_the_rate_is_kept(fresh_topic: str) -> None:
    ended = manage("simulate", "--rate", "500", "--seconds", "4", "--topic", fresh_topic)
    assert ended.result["delivered"] == 2000
    assert ended.result["seconds"] >= 3.9


@pytest.mark.kafka
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_without_seconds_it_goes_on_until_asked_to_stop_and_flushes(
    settings: ClientSettings, fresh_topic: str, number: signal.Signals
) -> None:
    process = start("simulate", "--rate", "200", "--topic", fresh_topic)
    wait_until(lambda: len(read_all(settings, fresh_topic)) > 50, 30, "traffic flows")
    process.send_signal(number)
    ended = end(process)
    assert (ended.code, ended.err) == (0, "")
    assert ended.result["delivered"] == ended.result["sent"] == len(read_all(settings, fresh_topic))


@pytest.mark.kafka
def test_traffic_goes_on_in_a_topic_that_is_made_again(
    settings: ClientSettings, fresh_topic: str, kafka_admin: AdminClient
) -> None:
    process = start("simulate", "--rate", "200", "--topic", fresh_topic)
    wait_until(lambda: len(read_all(settings, fresh_topic)) > 50, 30, "traffic flows")
    remake(kafka_admin, settings, fresh_topic, partitions=3)
    assert process.stderr is not None
    wait_until(lambda: b"made again" in process.stderr.readline(), 30, "it is told")
    there = len(read_all(settings, fresh_topic))
    wait_until(lambda: len(read_all(settings, fresh_topic)) > there + 50, 30, "traffic goes on")
    process.send_signal(signal.SIGINT)
    assert end(process).result["delivered"] > there + 50


@pytest.mark.kafka
def test_an_unknown_topic_is_one_line_that_names_it(kafka: KafkaCluster) -> None:
    ended = manage("simulate", "--topic", "gds.metrics.absent")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.count("\n") == 1
    assert "gds.metrics.absent" in ended.err
    assert kafka.bootstrap_servers in ended.err


def test_kafka_down_is_one_line_that_names_its_address() -> None:
    nowhere = f"127.0.0.1:{ports.free(1)[0]}"
    ended = manage("simulate", KAFKA_BOOTSTRAP_SERVERS=nowhere)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.count("\n") == 1
    assert nowhere in ended.err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--rate", "0"], "--rate: a number a second above 0, not '0'"),
        (["--seconds", "-1"], "--seconds"),
        (["--instances", "0"], "--instances"),
        (["--poison", "1.5"], "--poison: a ratio from 0 to 1, not '1.5'"),
        (["--seed", "x"], "--seed"),
    ],
)
def test_wrong_use_names_what_is_wrong(words: list[str], named: str) -> None:
    ended = manage("simulate", *words)
    assert (ended.code, ended.out) == (2, "")
    assert named in ended.err


def test_the_help_shows_an_example() -> None:
    assert "manage.py simulate --rate 1000 --seconds 60" in manage("simulate", "--help").out


def make_simulation(**changes: Any) -> Simulation:
    nowhere = ClientSettings(f"127.0.0.1:{ports.free(1)[0]}")
    fields: dict[str, Any] = {
        "rate": 1000.0,
        "total": None,
        "started": 0.0,
        "patience_s": 0.2,
        "stop": lambda: False,
    }
    producer = new_producer(nowhere, queue_buffering_max_messages=100)
    return Simulation(producer, "gds.metrics.production", iter([(b"k", b"v")] * 10_000), **fields | changes)


def test_a_step_sends_what_is_due_and_no_more() -> None:
    simulation = make_simulation(total=70)
    assert simulation.step(0.05)
    assert not simulation.step(0.5)
    assert simulation.finish(timeout_s=0.1) == Result(sent=70, delivered=0, poison=70)


def test_brokers_that_stay_away_end_a_run_of_given_length_and_are_counted() -> None:
    simulation = make_simulation(total=500)
    with pytest.raises(SendStalled):
        simulation.step(0.5)
    result = simulation.finish(timeout_s=0.1)
    assert (result.sent, result.failed) == (100, 100)


def test_a_stop_ends_a_run_that_waits_for_the_brokers() -> None:
    simulation = make_simulation(patience_s=None, stop=lambda: True)
    assert not simulation.step(0.5)
