from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import CheckMessage, run_checks

from gdsconsole.checks import is_loopback


@pytest.fixture(autouse=True)
def _loopback(settings: Any) -> None:
    """As `manage.py up` sets it; the test runner lets its own client's host in."""
    settings.ALLOWED_HOSTS = ["127.0.0.1", "localhost"]


def ours(*, deploy: bool = False) -> list[CheckMessage]:
    found = run_checks(include_deployment_checks=deploy)
    return [message for message in found if message.id and message.id.startswith("gdsconsole.")]


def test_the_tests_own_settings_are_clean() -> None:
    assert ours(deploy=True) == []


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ({"fetch.min.byte": "1"}, "KAFKA_CONFIG_FETCH_MIN_BYTE: "),
        ({"group.id": "mine"}, "KAFKA_CONFIG_GROUP_ID: "),
        ({"acks": "most"}, "KAFKA_CONFIG_ACKS: "),
        ({"session.timeout.ms": "-1"}, "KAFKA_CONFIG_SESSION_TIMEOUT_MS: "),
        ({"security.protocol": "ssl", "ssl.ca.location": "/no/ca"}, "KAFKA_CONFIG_SSL_CA_LOCATION: "),
    ],
)
def test_a_kafka_property_no_client_takes_is_an_error_naming_its_variable(
    settings: Any, overrides: dict[str, str], named: str
) -> None:
    settings.KAFKA_CONFIG = overrides
    [message] = [found for found in ours() if found.id == "gdsconsole.E001"]
    assert message.is_serious()
    assert message.msg.startswith(named)


@pytest.mark.parametrize(
    ("chosen", "overrides", "named"),
    [
        (
            {"GDS_GROUP_PROTOCOL": "consumer"},
            {"session.timeout.ms": "6000"},
            "KAFKA_CONFIG_SESSION_TIMEOUT_MS: ",
        ),
        (
            {"GDS_ALERT_EVENTS": "transactional"},
            {"enable.idempotence": "false"},
            "KAFKA_CONFIG_ENABLE_IDEMPOTENCE: ",
        ),
    ],
)
def test_what_a_chosen_way_does_not_go_with_is_an_error(
    settings: Any, chosen: dict[str, str], overrides: dict[str, str], named: str
) -> None:
    settings.KAFKA_CONFIG = overrides
    assert [found for found in ours() if found.id == "gdsconsole.E001"] == []
    for name, value in chosen.items():
        setattr(settings, name, value)
    [message] = [found for found in ours() if found.id == "gdsconsole.E001"]
    assert message.msg.startswith(named)


def test_both_ways_of_sharing_and_of_sending_are_fine(settings: Any) -> None:
    settings.KAFKA_CONFIG = {"client.rack": "a"}
    settings.GDS_GROUP_PROTOCOL, settings.GDS_ALERT_EVENTS = "consumer", "transactional"
    assert ours() == []


def test_every_wrong_name_is_told_at_once(settings: Any) -> None:
    settings.KAFKA_CONFIG = {"colour": "red", "shape": "round"}
    settings.KAFKA_BOOTSTRAP_SERVERS = ""
    assert [message.id for message in ours()] == ["gdsconsole.E001"] * 3


def test_tls_and_sasl_are_no_problem(settings: Any) -> None:
    settings.KAFKA_CONFIG = {
        "security.protocol": "sasl_ssl",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "gds",
        "sasl.password": "secret",
    }
    settings.KAFKA_BOOTSTRAP_SERVERS = "kafka.example.org:9093"
    assert ours(deploy=True) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("acks", "0"),
        ("enable.idempotence", "False"),
        ("enable.auto.commit", "true"),
        ("isolation.level", "read_uncommitted"),
        ("auto.offset.reset", "latest"),
        ("enable.ssl.certificate.verification", "false"),
        ("ssl.endpoint.identification.algorithm", "none"),
    ],
)
def test_giving_up_a_promise_is_a_warning(settings: Any, name: str, value: str) -> None:
    # Against idempotence, other acks would be refused, and not merely dangerous.
    settings.KAFKA_CONFIG = {"enable.idempotence": "false", name: value} if name == "acks" else {name: value}
    [message] = [found for found in ours() if found.id == "gdsconsole.W001" and f"={value}" in found.msg]
    assert message.hint is not None
    assert "KAFKA_CONFIG_" in message.hint


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"DEBUG": True, "ALLOWED_HOSTS": ["localhost", "console.example.org"]}, ["gdsconsole.E002"]),
        ({"DEBUG": True, "ALLOWED_HOSTS": ["*"]}, ["gdsconsole.E002"]),
        ({"DEBUG": True, "ALLOWED_HOSTS": ["127.0.0.1", "[::1]"]}, []),
        ({"SESSION_COOKIE_SECURE": False, "ALLOWED_HOSTS": ["console.example.org"]}, ["gdsconsole.W002"]),
        ({"SESSION_COOKIE_SECURE": True, "ALLOWED_HOSTS": ["console.example.org"]}, []),
        ({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092,kafka:9092"}, ["gdsconsole.W003"]),
        ({"REDIS_URL": "redis://cache.example.org:6379/0"}, ["gdsconsole.W004"]),
        ({"REDIS_URL": "rediss://cache.example.org:6379/0"}, []),
        ({"REDIS_URL": "unix:///run/redis.sock"}, []),
    ],
)
def test_a_console_that_others_reach_has_no_settings_for_this_machine_alone(
    settings: Any, changes: dict[str, Any], expected: list[str]
) -> None:
    for name, value in changes.items():
        setattr(settings, name, value)
    assert [message.id for message in ours(deploy=True)] == expected


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.1", "[::1]", "a.localhost"])
def test_loopback_is_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "*", ".example.org", "10.0.0.1", "localhost.example.org", "[::2]"])
def test_anything_else_is_not(host: str) -> None:
    assert not is_loopback(host)
