from __future__ import annotations

import ctypes
import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gdsconsole.devstack import ports
from gdsconsole.devstack.kafka_cluster import KafkaCluster
from gdsconsole.kafka import properties
from gdsconsole.kafka.clients import (
    CLIENT_LOG,
    ClientHooks,
    new_consumer,
    new_producer,
    require_topic,
)
from gdsconsole.kafka.config import (
    ClientSettings,
    admin_config,
    consumer_config,
    masked,
    override_problems,
    producer_config,
    variable,
)
from gdsconsole.kafka.errors import KafkaUnavailable, UnknownTopic, WrongClientConfig
from tests.kafka.raw_producer import librdkafka
from tests.waiting import wait_until

GUIDE_PRODUCER = {
    "bootstrap.servers": "kafka:9092",
    "client.id": "telemetry-producer",
    "acks": "all",
    "enable.idempotence": True,
    "retries": 2147483647,
    "delivery.timeout.ms": 120000,
    "compression.type": "lz4",
    "linger.ms": 100,
    "batch.size": 16384,
}
GUIDE_CONSUMER = {
    "bootstrap.servers": "kafka:9092",
    "client.id": "gds-alerting-consumer",
    "group.id": "gds-alerting",
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    "fetch.min.bytes": 1024,
    "fetch.wait.max.ms": 500,
    "max.poll.interval.ms": 300000,
}


def make_settings(**overrides: str) -> ClientSettings:
    return ClientSettings("kafka:9092", {name.replace("_", "."): value for name, value in overrides.items()})


def test_the_guides_profile_is_the_guides_table_and_nothing_else() -> None:
    assert producer_config(make_settings(), profile="guide") == GUIDE_PRODUCER


def test_the_consoles_profile_changes_the_batch_and_bounds_the_memory() -> None:
    assert producer_config(make_settings()) == GUIDE_PRODUCER | {
        "batch.size": 262144,
        "queue.buffering.max.kbytes": 131072,
        "message.max.bytes": 16777216,
    }


def test_a_consumer_has_the_guides_table_and_never_commits_by_itself() -> None:
    assert consumer_config(make_settings(), group_id="gds-alerting") == GUIDE_CONSUMER | {
        "enable.auto.offset.store": False,
        "fetch.queue.backoff.ms": 10,
    }


def test_an_admin_client_has_no_producers_or_consumers_properties() -> None:
    settings = make_settings(acks="1", fetch_min_bytes="1", socket_timeout_ms="5000")
    assert admin_config(settings) == {
        "bootstrap.servers": "kafka:9092",
        "client.id": "gds-console-admin",
        "socket.timeout.ms": "5000",
    }


@pytest.mark.parametrize("name", sorted(GUIDE_PRODUCER.keys() - {"bootstrap.servers"}))
@pytest.mark.parametrize("profile", ["guide", "console"])
def test_each_property_of_the_producers_table_can_be_overridden(name: str, profile: Any) -> None:
    settings = ClientSettings("kafka:9092", {name: "7"})
    assert producer_config(settings, profile=profile)[name] == "7"


@pytest.mark.parametrize("name", sorted(GUIDE_CONSUMER.keys() - {"bootstrap.servers", "group.id"}))
def test_each_property_of_the_consumers_table_can_be_overridden(name: str) -> None:
    settings = ClientSettings("kafka:9092", {name: "7"})
    assert consumer_config(settings, group_id="g")[name] == "7"


def test_an_override_reaches_only_the_clients_that_take_it() -> None:
    settings = make_settings(
        acks="1", fetch_min_bytes="1", security_protocol="sasl_ssl", sasl_password="hunter2"
    )
    producer, consumer = producer_config(settings), consumer_config(settings, group_id="g")
    assert (producer["acks"], "fetch.min.bytes" in producer) == ("1", False)
    assert (consumer["fetch.min.bytes"], "acks" in consumer) == ("1", False)
    for config in (producer, consumer, admin_config(settings)):
        assert (config["security.protocol"], config["sasl.password"]) == ("sasl_ssl", "hunter2")


def test_what_the_code_needs_wins_over_an_override() -> None:
    config = producer_config(make_settings(linger_ms="5"), linger_ms=0, **{"batch.size": 1})
    assert (config["linger.ms"], config["batch.size"]) == (0, 1)


@pytest.mark.parametrize(
    ("alias", "name"), [("queue.buffering.max.ms", "linger.ms"), ("request.required.acks", "acks")]
)
def test_an_alias_overrides_the_tables_own_name(alias: str, name: str) -> None:
    config = producer_config(ClientSettings("kafka:9092", {alias: "1"}))
    assert config[name] == "1"
    assert alias not in config


def test_a_transactional_producer_does_not_outwait_its_transaction() -> None:
    config = producer_config(make_settings(), transactional_id="x")
    assert config["transaction.timeout.ms"] == 60000
    assert "delivery.timeout.ms" not in config
    overridden = producer_config(make_settings(delivery_timeout_ms="1000"), transactional_id="x")
    assert overridden["delivery.timeout.ms"] == "1000"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("fetch.min.byte", "did you mean KAFKA_CONFIG_FETCH_MIN_BYTES?"),
        ("colour", "KAFKA_CONFIG_COLOUR: librdkafka has no property 'colour'"),
        ("group.id", "KAFKA_CONFIG_GROUP_ID"),
        ("metadata.broker.list", "KAFKA_BOOTSTRAP_SERVERS"),
        ("enable.auto.offset.store", "only after its record's effect"),
        ("on.delivery", "KAFKA_CONFIG_ON_DELIVERY"),
    ],
)
def test_an_override_that_can_not_be_is_an_error_naming_its_variable(name: str, said: str) -> None:
    with pytest.raises(WrongClientConfig, match=re.escape(said)):
        ClientSettings("kafka:9092", {name: "1"})
    assert len(override_problems({name: "1", "acks": "all"})) == 1


def test_no_bootstrap_servers_is_an_error_naming_the_variable() -> None:
    with pytest.raises(WrongClientConfig, match="KAFKA_BOOTSTRAP_SERVERS"):
        ClientSettings(" ")


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ({"acks": "most"}, "KAFKA_CONFIG_ACKS"),
        ({"linger.ms": "-4"}, "KAFKA_CONFIG_LINGER_MS"),
        ({"acks": "1"}, "KAFKA_CONFIG_ACKS"),  # against enable.idempotence
        ({"security.protocol": "ssl", "ssl.ca.location": "/no/ca.pem"}, "KAFKA_CONFIG_SSL_CA_LOCATION"),
    ],
)
def test_a_value_librdkafka_refuses_is_an_error_naming_its_variable(
    overrides: dict[str, str], named: str
) -> None:
    with pytest.raises(WrongClientConfig, match=named):
        new_producer(ClientSettings("127.0.0.1:1", overrides))


SECRETS = {
    "sasl.password": "hunter2",
    "ssl.key.password": "hunter2",
    "ssl.keystore.password": "hunter2",
    "ssl.key.pem": "hunter2",
    "sasl.oauthbearer.client.secret": "hunter2",
    "sasl.oauthbearer.config": "hunter2",
    "sasl.oauthbearer.assertion.private.key.passphrase": "hunter2",
    "sasl.oauthbearer.assertion.private.key.pem": "hunter2",
}


def test_no_secret_is_shown() -> None:
    settings = ClientSettings("kafka:9092", SECRETS | {"sasl.username": "gds"})
    assert "hunter2" not in repr(settings)
    shown = masked(producer_config(settings))
    assert "hunter2" not in str(shown)
    assert shown["sasl.username"] == "gds"
    assert {name for name, value in shown.items() if value == "***"} == set(SECRETS)


def test_a_refused_secret_is_not_in_the_error() -> None:
    with pytest.raises(WrongClientConfig) as caught:
        new_producer(
            ClientSettings("127.0.0.1:1", {"security.protocol": "ssl", "ssl.key.pem": "hunter2-hunter2"})
        )
    assert "hunter2" not in str(caught.value)


def test_the_properties_are_those_of_the_librdkafka_that_is_installed(tmp_path: Path) -> None:
    kinds: dict[str, set[str]] = {"P": set(), "C": set(), "*": set()}
    for line in _property_table(tmp_path / "properties").splitlines():
        row = re.match(r"([a-z_.]+)\s+\|\s+([*CP])\s+\|", line)
        if row is not None:
            kinds[row[2]].add(row[1])
    # Not for the environment: callbacks, in-memory objects, events of the C interface.
    unreachable = re.compile(
        r".*_cb|opaque|.*_conf|interceptors|enabled_events|ssl_.*|.*_cmp|.*callback_data"
    )
    for kind, names in (
        ("P", properties.PRODUCER_ONLY),
        ("C", properties.CONSUMER_ONLY),
        ("*", properties.COMMON),
    ):
        assert names == {name for name in kinds[kind] if not unreachable.fullmatch(name)}
    everything = properties.PRODUCER_ONLY | properties.CONSUMER_ONLY | properties.COMMON
    assert set(properties.ALIASES.values()) | set(properties.OWNED) <= everything


def _property_table(file: Path) -> str:
    library, libc = librdkafka(), ctypes.CDLL(None)
    libc.fopen.restype = ctypes.c_void_p
    opened = ctypes.c_void_p(libc.fopen(str(file).encode(), b"w"))
    library.rd_kafka_conf_properties_show(opened)
    libc.fclose(opened)
    return file.read_text()


def test_a_variables_name_is_the_propertys() -> None:
    assert variable("sasl.oauthbearer.client.id") == "KAFKA_CONFIG_SASL_OAUTHBEARER_CLIENT_ID"


@contextmanager
def heard() -> Iterator[list[str]]:
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    # A command that ran in this process has quieted it for good.
    level = CLIENT_LOG.level
    CLIENT_LOG.setLevel(logging.NOTSET)
    CLIENT_LOG.addHandler(handler)
    try:
        yield lines
    finally:
        CLIENT_LOG.removeHandler(handler)
        CLIENT_LOG.setLevel(level)


def test_librdkafkas_lines_and_errors_go_to_the_log_and_the_hook() -> None:
    nowhere = f"127.0.0.1:{ports.free(1)[0]}"
    errors: list[str] = []
    hooks = ClientHooks(on_error=lambda error: errors.append(error.name()))
    with heard() as lines:
        producer = new_producer(ClientSettings(nowhere), hooks=hooks)
        wait_until(
            lambda: producer.poll(0.1) >= 0 and "_ALL_BROKERS_DOWN" in errors and lines,
            10,
            "the outage is told",
        )
    assert any(nowhere in line for line in lines)


def test_without_a_hook_errors_are_logged() -> None:
    nowhere = f"127.0.0.1:{ports.free(1)[0]}"
    with heard() as lines:
        producer = new_producer(ClientSettings(nowhere))
        wait_until(
            lambda: producer.poll(0.1) >= 0 and any("_ALL_BROKERS_DOWN" in line for line in lines),
            10,
            "the outage is logged",
        )


@pytest.mark.kafka
def test_statistics_reach_their_hook(kafka: KafkaCluster) -> None:
    told: list[str] = []
    settings = ClientSettings(kafka.bootstrap_servers, {"statistics.interval.ms": "100"})
    producer = new_producer(settings, client_id="told", hooks=ClientHooks(on_stats=told.append))
    wait_until(lambda: producer.poll(0.1) >= 0 and told, 10, "statistics come")
    assert json.loads(told[0])["client_id"] == "told"


@pytest.mark.kafka
def test_a_topic_is_found_or_named_and_never_made(kafka: KafkaCluster, fresh_topic: str) -> None:
    settings = ClientSettings(kafka.bootstrap_servers)
    producer = new_producer(settings)
    consumer = new_consumer(settings, group_id="looking")
    for client in (producer, consumer):
        assert require_topic(client, fresh_topic, settings) == 3
        with pytest.raises(UnknownTopic, match=f"gds.tests.absent.*{settings.bootstrap_servers}"):
            require_topic(client, "gds.tests.absent", settings)
    consumer.close()


def test_an_unreachable_cluster_is_named() -> None:
    nowhere = ClientSettings(f"127.0.0.1:{ports.free(1)[0]}")
    with pytest.raises(KafkaUnavailable, match=nowhere.bootstrap_servers):
        require_topic(new_producer(nowhere), "gds.metrics.production", nowhere, timeout_s=0.5)
