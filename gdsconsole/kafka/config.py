"""Client settings: the guide's producer and consumer tables, and what the environment changes.

Precedence, lowest first: the table, `KAFKA_CONFIG_*` overrides, what the calling code needs for
its own client (a transactional id, a group instance). Pure: nothing here makes a client.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Literal

from gdsconsole.kafka.errors import WrongClientConfig
from gdsconsole.kafka.properties import ALIASES, COMMON, CONSUMER_ONLY, OWNED, PRODUCER_ONLY

ConfigValue = str | int | float | bool
Profile = Literal["console", "guide"]
VARIABLE_PREFIX = "KAFKA_CONFIG_"
MASK = "***"

GUIDE_PRODUCER: Mapping[str, ConfigValue] = {
    "client.id": "telemetry-producer",
    "acks": "all",
    "enable.idempotence": True,
    "retries": 2147483647,
    "delivery.timeout.ms": 120000,
    "compression.type": "lz4",
    "linger.ms": 100,
    "batch.size": 16384,
}
CONSOLE_PRODUCER: Mapping[str, ConfigValue] = {
    **GUIDE_PRODUCER,
    # 16 KB batches cost half the throughput: 414 k/s against 856 k/s (idempotent, acks=all, lz4).
    "batch.size": 262144,
    # The default of 1 GB would let one client behind a slow broker outgrow the process's memory.
    "queue.buffering.max.kbytes": 131072,
    # The topic's max.message.bytes is the judge. The default of 1,000,000 is below the brokers' own, so
    # a record they took could not be sent again with its dead letter's headers.
    "message.max.bytes": 16777216,
}
GUIDE_CONSUMER: Mapping[str, ConfigValue] = {
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    "fetch.min.bytes": 1024,
    "fetch.wait.max.ms": 500,
    "max.poll.interval.ms": 300000,
}
CONSOLE_CONSUMER: Mapping[str, ConfigValue] = {
    **GUIDE_CONSUMER,
    # An offset may be committed only after its record's effect, so nothing is stored on delivery.
    "enable.auto.offset.store": False,
    # With the default of 1000 the fetcher naps a second whenever its queue was full: consume() reached
    # 0.13 of kcat, 0.81 with 10. Other fetch settings gained nothing.
    "fetch.queue.backoff.ms": 10,
}
# The guide's transactional producer leaves the delivery timeout to librdkafka, which ties it to the
# transaction's: a longer one is refused, and an open transaction holds back every read_committed reader.
TRANSACTION_TIMEOUT_MS = 60000

_SECRET_WORDS = ("password", "secret", "passphrase", "key.pem", "oauthbearer.config", "kinit.cmd")


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Where the brokers are and what every client's settings are overridden with.

    `overrides` maps librdkafka property names to text values. Raises `WrongClientConfig` naming
    the property and its variable when one is unknown or is the console's own to set.
    """

    bootstrap_servers: str
    overrides: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.bootstrap_servers.strip():
            raise WrongClientConfig("KAFKA_BOOTSTRAP_SERVERS is empty: set it to host:port[,host:port]")
        for problem in override_problems(self.overrides):
            raise WrongClientConfig(problem)
        canonical = {ALIASES.get(name, name): value for name, value in self.overrides.items()}
        object.__setattr__(self, "overrides", canonical)

    def __repr__(self) -> str:
        return f"ClientSettings({self.bootstrap_servers!r}, {masked(self.overrides)!r})"


def variable(name: str) -> str:
    """The environment variable that sets the property `name`."""
    return VARIABLE_PREFIX + name.upper().replace(".", "_")


def names_of(name: str) -> set[str]:
    """The property's name and its aliases, which librdkafka uses in its messages."""
    return {name, *(alias for alias, canonical in ALIASES.items() if canonical == name)}


def override_problems(overrides: Mapping[str, str]) -> list[str]:
    """What is wrong with these overrides' names, a line each, naming property and variable."""
    problems = []
    for given in overrides:
        name = ALIASES.get(given, given)
        if name in OWNED:
            problems.append(f"{variable(given)}: {given} is not yours to set: {OWNED[name]}")
        elif name not in COMMON | PRODUCER_ONLY | CONSUMER_ONLY:
            close = get_close_matches(given, COMMON | PRODUCER_ONLY | CONSUMER_ONLY, n=1)
            hint = f"; did you mean {variable(close[0])}?" if close else ""
            problems.append(f"{variable(given)}: librdkafka has no property {given!r}{hint}")
    return problems


def producer_config(
    settings: ClientSettings,
    *,
    profile: Profile = "console",
    client_id: str = "telemetry-producer",
    **extra: ConfigValue,
) -> dict[str, ConfigValue]:
    """A producer's settings. `extra` is by property name, with dots or underscores."""
    table = CONSOLE_PRODUCER if profile == "console" else GUIDE_PRODUCER
    config = {**_base(settings), **table, "client.id": client_id}
    config |= _overrides(settings, COMMON | PRODUCER_ONLY)
    needed = _named(extra)
    if "transactional.id" in needed:
        config.setdefault("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS)
        if "delivery.timeout.ms" not in settings.overrides:
            del config["delivery.timeout.ms"]
    return config | needed


def consumer_config(
    settings: ClientSettings, *, group_id: str, client_id: str | None = None, **extra: ConfigValue
) -> dict[str, ConfigValue]:
    """A consumer's settings. `client_id` defaults to the guide's `{group_id}-consumer`."""
    config = {
        **_base(settings),
        **CONSOLE_CONSUMER,
        "client.id": client_id or f"{group_id}-consumer",
        "group.id": group_id,
    }
    return config | _overrides(settings, COMMON | CONSUMER_ONLY) | _named(extra)


def admin_config(settings: ClientSettings, **extra: ConfigValue) -> dict[str, ConfigValue]:
    """An admin client's settings: where the brokers are, and the overrides every client takes."""
    config: dict[str, ConfigValue] = {**_base(settings), "client.id": "gds-console-admin"}
    return config | _overrides(settings, COMMON) | _named(extra)


def masked(config: Mapping[str, ConfigValue]) -> dict[str, ConfigValue]:
    """The settings with every secret replaced, fit for logs and pages."""
    return {name: MASK if is_secret(name) else value for name, value in sorted(config.items())}


def is_secret(name: str) -> bool:
    """Whether the property's value may not be shown."""
    return any(word in name for word in _SECRET_WORDS)


def _base(settings: ClientSettings) -> dict[str, ConfigValue]:
    return {"bootstrap.servers": settings.bootstrap_servers}


def _overrides(settings: ClientSettings, taken: frozenset[str]) -> dict[str, ConfigValue]:
    return {name: value for name, value in settings.overrides.items() if name in taken}


def _named(extra: Mapping[str, ConfigValue]) -> dict[str, ConfigValue]:
    dotted = ((name.replace("_", "."), value) for name, value in extra.items())
    return {ALIASES.get(name, name): value for name, value in dotted}
