"""System checks: settings that can't work, or that work and are dangerous.

Each has an id, and a hint that says what to set. `manage.py check` runs them, as does every command
that uses the database; those tagged for deployment run with `check --deploy`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from gdsconsole.env import TRANSACTIONAL
from gdsconsole.kafka.clients import ClientHooks, new_consumer, new_producer
from gdsconsole.kafka.config import ClientSettings, override_problems, variable
from gdsconsole.kafka.consuming.static_member import open_member
from gdsconsole.kafka.errors import WrongClientConfig

# Values that give up a promise of the console, and which.
_GIVES_UP: Mapping[str, tuple[frozenset[str], str]] = {
    "acks": (frozenset({"0", "1"}), "an acknowledged record may be lost with one broker"),
    "enable.idempotence": (frozenset({"false"}), "a retried record may be written twice, or out of order"),
    "enable.auto.commit": (frozenset({"true"}), "offsets may be committed before their records' effects"),
    "isolation.level": (frozenset({"read_uncommitted"}), "records of aborted transactions are processed"),
    "auto.offset.reset": (
        frozenset({"latest", "largest", "end"}),
        "a new group, or one whose offsets are gone, skips what is there",
    ),
    "enable.ssl.certificate.verification": (
        frozenset({"false"}),
        "anyone on the way can pose as the brokers",
    ),
    "ssl.endpoint.identification.algorithm": (
        frozenset({"none"}),
        "anyone with any valid certificate can pose as the brokers",
    ),
}


def check_kafka_settings(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """KAFKA_BOOTSTRAP_SERVERS and KAFKA_CONFIG_*: names and values that no client would take."""
    problems = override_problems(settings.KAFKA_CONFIG)
    if not settings.KAFKA_BOOTSTRAP_SERVERS.strip():
        problems.append("KAFKA_BOOTSTRAP_SERVERS is empty")
    if not problems and settings.KAFKA_CONFIG:
        problems += _refused_values(ClientSettings("127.0.0.1:9", settings.KAFKA_CONFIG))
    return [
        Error(problem, hint="KAFKA_CONFIG_* takes librdkafka's properties, '.' as '_'.", id="gdsconsole.E001")
        for problem in problems
    ]


def check_kafka_promises(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """KAFKA_CONFIG_* values that work, and give up something the console promises."""
    return [
        Warning(
            f"{variable(name)}={value}: {_GIVES_UP[name][1]}",
            hint=f"Unset {variable(name)}.",
            id="gdsconsole.W001",
        )
        for name, value in sorted(settings.KAFKA_CONFIG.items())
        if name in _GIVES_UP and value.strip().lower() in _GIVES_UP[name][0]
    ]


def check_reach(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """What is fit for this machine alone, in a console that others can reach."""
    reached_by = [host for host in settings.ALLOWED_HOSTS if not is_loopback(host)]
    if settings.DEBUG and reached_by:
        return [
            Error(
                f"DEBUG is on and ALLOWED_HOSTS has {reached_by[0]!r}: error pages show settings and data",
                hint="Unset DEBUG.",
                id="gdsconsole.E002",
            )
        ]
    if not settings.SESSION_COOKIE_SECURE and reached_by:
        return [
            Warning(
                f"GDS_HTTPS is off and ALLOWED_HOSTS has {reached_by[0]!r}: sessions travel in the clear",
                hint="Put the console behind TLS and unset GDS_HTTPS.",
                id="gdsconsole.W002",
            )
        ]
    return []


def check_connections(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Kafka and Redis on other machines, spoken to in the clear."""
    return list(_in_the_clear())


def is_loopback(host: str) -> bool:
    """Whether only this machine is meant by a host name, an address, or one with a port."""
    name = host.strip().lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def register_checks() -> None:
    """Called once, when the applications are ready."""
    register(check_kafka_settings)
    register(check_kafka_promises)
    register(check_reach, Tags.security)
    register(check_connections, Tags.security, deploy=True)


def _refused_values(client_settings: ClientSettings) -> Iterator[str]:
    """What librdkafka says against the values. The clients are made for that alone, and connect to nobody."""
    try:
        new_producer(client_settings)
        new_consumer(client_settings, group_id="gds-check").close()
        protocol = settings.GDS_GROUP_PROTOCOL
        open_member(
            client_settings, group="gds-check", slot=0, hooks=ClientHooks(), protocol=protocol
        ).close()
        if settings.GDS_ALERT_EVENTS == TRANSACTIONAL:
            new_producer(client_settings, transactional_id="gds-check")
    except WrongClientConfig as error:
        yield str(error)


def _in_the_clear() -> Iterator[CheckMessage]:
    protocol = settings.KAFKA_CONFIG.get("security.protocol", "plaintext").lower()
    servers = [server.strip() for server in settings.KAFKA_BOOTSTRAP_SERVERS.split(",")]
    elsewhere = [server for server in servers if not is_loopback(server.rpartition(":")[0])]
    if elsewhere and not protocol.endswith("ssl"):
        yield Warning(
            f"Kafka at {elsewhere[0]} is spoken to without TLS ({protocol})",
            hint="Set KAFKA_CONFIG_SECURITY_PROTOCOL to ssl or sasl_ssl.",
            id="gdsconsole.W003",
        )
    redis = urlsplit(settings.REDIS_URL)
    if redis.scheme == "redis" and not is_loopback(redis.hostname or "127.0.0.1"):
        yield Warning(
            f"Redis at {redis.hostname} is spoken to without TLS",
            hint="Set REDIS_URL to a rediss:// address.",
            id="gdsconsole.W004",
        )
