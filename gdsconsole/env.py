"""The environment, read once and typed.

Every variable the console knows is a field of `Environment`. Real environment variables win over
`console.env` in the data directory, which `manage.py up` writes, so that a command in a second
terminal talks to the console that is running. A wrong value stops the start with an error that
names the variable and the value.
"""

from __future__ import annotations

import ipaddress
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from dotenv import dotenv_values
from environs import Env, EnvError

from gdsconsole import service_addresses

ROOT = Path(__file__).resolve().parent.parent
KEPT_FILE = "console.env"
KAFKA_CONFIG_PREFIX = "KAFKA_CONFIG_"
# How alert events get to Kafka. By the outbox: at least once, and an event's row never waits for Kafka.
# In transactions: once for readers of committed data, in the one that commits its record's offset.
AlertEvents = Literal["outbox", "transactional"]
OUTBOX: AlertEvents = "outbox"
TRANSACTIONAL: AlertEvents = "transactional"
# How the consumers of a pipeline share partitions: by the protocol every broker knows, or KIP-848's.
GroupProtocol = Literal["classic", "consumer"]
SECRET_CHARACTERS = 32
_MAIL_SCHEMES = ("smtp", "submission", "submit", "smtps", "console", "file", "memory", "dummy")
STANDARD_MAVEN_REPOSITORY = "https://repo.maven.apache.org/maven2"


class WrongEnvironment(Exception):
    """A variable is missing or has a value that can't be used; the message names it."""


@dataclass(frozen=True, slots=True)
class Warehouse:
    """How metrics are written down, and how long they are kept.

    A batch of points waits for `batch_messages`, or `batch_seconds` after its first. A sample counts in
    its own minute unless it was sent more than `window_seconds` later, or earlier.
    """

    batch_messages: int
    batch_seconds: float
    window_seconds: float
    points_days: float
    minutes_days: float
    hours_days: float


@dataclass(frozen=True, slots=True)
class SignIn:
    """How long a session lasts at most, and without being used; whose `X-Forwarded-For` is believed."""

    session_days: float
    idle_hours: float
    trusted_proxies: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]
    sockets_per_user: int


@dataclass(frozen=True, slots=True)
class Environment:
    secret_key: str = field(repr=False)
    debug: bool
    https: bool
    allowed_hosts: tuple[str, ...]
    csrf_trusted_origins: tuple[str, ...]
    database: Mapping[str, Any] = field(repr=False)
    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    kafka_bootstrap_servers: str
    kafka_config: Mapping[str, str] = field(repr=False)
    kafka_broker_metrics_urls: tuple[str, ...]
    kafka_maven_repository: str
    data_dir: Path
    organization: str
    environment: str
    alert_events: AlertEvents
    group_protocol: GroupProtocol
    warehouse: Warehouse
    sign_in: SignIn
    email: Mapping[str, Any] = field(repr=False)
    email_url: str = field(repr=False)
    audit_keys: tuple[str, ...] = field(repr=False)
    audit_anchor_dir: Path | None


def data_directory(environ: Mapping[str, str]) -> Path:
    """GDS_DATA_DIR, by default `var` in the checkout; a relative one is below the checkout."""
    named = Path(environ.get("GDS_DATA_DIR") or "var").expanduser()
    return named if named.is_absolute() else ROOT / named


def load() -> Environment:
    """Read the environment once; raise `WrongEnvironment` naming the variable that is wrong."""
    data_dir = data_directory(os.environ)
    kept = data_dir / KEPT_FILE
    env = Env()
    if kept.is_file():
        env.read_env(str(kept), recurse=False)
    try:
        return _read(env, {**dotenv_values(kept), **os.environ}, data_dir)
    except EnvError as error:
        # Without its cause: what a parser says of an address may be a piece of its password.
        raise WrongEnvironment(str(error)) from None


def _read(env: Env, merged: Mapping[str, str | None], data_dir: Path) -> Environment:
    debug = env.bool("DEBUG", False)
    secret_key = env.str("SECRET_KEY", "")
    if len(secret_key) < SECRET_CHARACTERS:
        raise WrongEnvironment(
            f"SECRET_KEY is not set or shorter than {SECRET_CHARACTERS} characters: `manage.py up` makes "
            "one and keeps it in the data directory; elsewhere set it to a long random value"
        )
    database_url = _address(
        env, "DATABASE_URL", f"sqlite:///{data_dir / 'console.sqlite3'}", "sqlite", "postgresql", "postgres"
    )
    redis_url = _address(env, "REDIS_URL", "redis://127.0.0.1:6379/0", "redis", "rediss", "unix")
    email_url = _address(env, "EMAIL_URL", "console://", *_MAIL_SCHEMES)
    return Environment(
        secret_key=secret_key,
        debug=debug,
        https=env.bool("GDS_HTTPS", not debug),
        allowed_hosts=tuple(env.list("ALLOWED_HOSTS", ["127.0.0.1", "localhost"])),
        csrf_trusted_origins=tuple(env.list("CSRF_TRUSTED_ORIGINS", [])),
        database=env.dj_db_url("DATABASE_URL", database_url),
        database_url=database_url,
        redis_url=redis_url,
        kafka_bootstrap_servers=env.str("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092"),
        kafka_config={
            name.removeprefix(KAFKA_CONFIG_PREFIX).lower().replace("_", "."): value
            for name, value in sorted(merged.items())
            if name.startswith(KAFKA_CONFIG_PREFIX) and value is not None
        },
        kafka_broker_metrics_urls=tuple(env.list("KAFKA_BROKER_METRICS_URLS", [])),
        kafka_maven_repository=env.str("KAFKA_MAVEN_REPOSITORY", STANDARD_MAVEN_REPOSITORY).rstrip("/"),
        data_dir=data_dir,
        organization=env.str("GDS_ORGANIZATION", "gds"),
        environment=env.str("GDS_ENVIRONMENT", "production"),
        alert_events=cast(AlertEvents, _one_of(env, "GDS_ALERT_EVENTS", OUTBOX, TRANSACTIONAL)),
        group_protocol=cast(GroupProtocol, _one_of(env, "GDS_GROUP_PROTOCOL", "classic", "consumer")),
        warehouse=Warehouse(
            # The guide's batch: 100 messages or 5 s.
            batch_messages=int(_number(env, "GDS_WAREHOUSE_BATCH_MESSAGES", 100, 1, 10_000, whole=True)),
            batch_seconds=_number(env, "GDS_WAREHOUSE_BATCH_SECONDS", 5, 0, 60),
            window_seconds=_number(env, "GDS_ANALYTICS_WINDOW_SECONDS", 3_600, 60, 604_800),
            points_days=_number(env, "GDS_POINTS_KEPT_DAYS", 7, 0.01, 36_500),
            minutes_days=_number(env, "GDS_MINUTES_KEPT_DAYS", 90, 0.05, 36_500),
            hours_days=_number(env, "GDS_HOURS_KEPT_DAYS", 730, 1, 36_500),
        ),
        sign_in=SignIn(
            session_days=_number(env, "GDS_SESSION_DAYS", 14, 0.01, 365),
            idle_hours=_number(env, "GDS_SESSION_IDLE_HOURS", 12, 0.02, 8_760),
            trusted_proxies=_networks(env, "GDS_TRUSTED_PROXIES"),
            sockets_per_user=int(_number(env, "GDS_SOCKETS_PER_USER", 64, 1, 10_000, whole=True)),
        ),
        email=env.dj_email_url("EMAIL_URL", "console://"),
        email_url=email_url,
        audit_keys=_audit_keys(env),
        audit_anchor_dir=_directory(env, "GDS_AUDIT_ANCHOR_DIR"),
    )


def _audit_keys(env: Env) -> tuple[str, ...]:
    """The secrets that the audit's keys come from, the newest first; empty: SECRET_KEY is it."""
    named: tuple[str, ...] = tuple(env.list("GDS_AUDIT_KEYS", []))
    for place, secret in enumerate(named, 1):
        if len(secret) < SECRET_CHARACTERS:
            raise WrongEnvironment(
                f"GDS_AUDIT_KEYS: key {place} of {len(named)} is shorter than {SECRET_CHARACTERS} characters"
            )
    return named


def _directory(env: Env, name: str) -> Path | None:
    """A directory by its whole path: a relative one would depend on where a process was started."""
    text = env.str(name, "")
    if text and not Path(text).is_absolute():
        raise WrongEnvironment(f"{name}: {text!r} is not an absolute path")
    return Path(text) if text else None


def _address(env: Env, name: str, default: str, *schemes: str) -> str:
    """The address of a service; one that can't be used is told without its password."""
    url = env.str(name, default)
    try:
        service_addresses.check(url, schemes)
    except service_addresses.WrongAddress as error:
        raise WrongEnvironment(f"{name}: {error}") from None
    return url


def _number(env: Env, name: str, default: float, least: float, most: float, *, whole: bool = False) -> float:
    """A number within bounds, both of them allowed."""
    text = env.str(name, str(default))
    try:
        number = int(text) if whole else float(text)
    except ValueError:
        number = math.nan
    if not least <= number <= most:
        kind = "a whole number" if whole else "a number"
        raise WrongEnvironment(f"{name}: {text!r} is not {kind} from {least:g} to {most:g}")
    return number


def _networks(env: Env, name: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """Addresses and CIDR networks, comma-separated."""
    read = []
    for text in filter(None, (word.strip() for word in env.str(name, "").split(","))):
        try:
            read.append(ipaddress.ip_network(text))
        except ValueError as error:
            raise WrongEnvironment(f"{name}: {text!r} is not an address or a network: {error}") from error
    return tuple(read)


def _one_of(env: Env, name: str, default: str, *others: str) -> str:
    value = env.str(name, default)
    if value not in (default, *others):
        raise WrongEnvironment(f"{name}: {value!r} is not {' or '.join((default, *others))}")
    return value
