"""What outlives a start of the console: its data directory, its ports and `console.env`.

`console.env` is how every other `manage.py` command finds the console that runs: settings read it,
and real environment variables win over it.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from dotenv import dotenv_values

from gdsconsole.devstack import ports, redis_server
from gdsconsole.devstack.errors import CannotStart
from gdsconsole.devstack.files import close_to_others, write_private
from gdsconsole.devstack.kafka_cluster import BrokerPorts, ClusterLayout
from gdsconsole.env import KEPT_FILE

NEEDED_BYTES = 1 << 30
LAYOUT_FILE = "layout.json"
USERS_FILE = "users.json"
MOST_BROKERS = 9
# Given for one start, these have to hold for the commands of other terminals too.
REMEMBERED = ("DATABASE_URL", "GDS_ORGANIZATION")


@dataclass(frozen=True, slots=True)
class Layout:
    """The console's ports, and Redis' password, chosen at its first start."""

    redis_port: int
    brokers: tuple[BrokerPorts, ...]
    redis_password: str = field(default="", repr=False)

    def cluster(self, data_dir: Path) -> ClusterLayout:
        return ClusterLayout(data_dir / "kafka", self.brokers)

    @property
    def redis_url(self) -> str:
        return redis_server.url(self.redis_port, self.redis_password)

    @property
    def all_ports(self) -> dict[int, str]:
        """Every port and what it is for."""
        named = {self.redis_port: "Redis"}
        for broker_id, broker in enumerate(self.brokers, 1):
            named[broker.client] = f"Kafka broker {broker_id}"
            named[broker.controller] = f"the controller of Kafka broker {broker_id}"
            named[broker.metrics] = f"the metrics of Kafka broker {broker_id}"
        return named


def make_data_dir(data_dir: Path) -> None:
    """Create it, readable by its owner alone; raise CannotStart when it can't be written to."""
    try:
        is_new = not data_dir.exists()
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        # A directory with somebody else's files stays as open as its owner wants it.
        if is_new or not any(data_dir.iterdir()) or (data_dir / LAYOUT_FILE).is_file():
            close_to_others(data_dir)
        probe = data_dir / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise CannotStart(
            f"the data directory {data_dir} can't be written to ({error.strerror}): set GDS_DATA_DIR"
        ) from error


def check_disk(data_dir: Path) -> None:
    """Raise CannotStart when the data directory's disk has less than NEEDED_BYTES free."""
    free = shutil.disk_usage(data_dir).free
    if free < NEEDED_BYTES:
        raise CannotStart(
            f"only {free / 1e9:.1f} GB are free on the disk of {data_dir}, {NEEDED_BYTES / 1e9:.1f} GB are "
            "needed: free some, or set GDS_DATA_DIR to another disk"
        )


def ensure_secret_key(data_dir: Path, environ: Mapping[str, str]) -> None:
    """Keep a generated SECRET_KEY in console.env, unless there is one or the environment has it."""
    kept = read_kept(data_dir)
    if not environ.get("SECRET_KEY") and not kept.get("SECRET_KEY"):
        keep(data_dir, {"SECRET_KEY": secrets.token_urlsafe(48)})


def read_kept(data_dir: Path) -> dict[str, str]:
    """The variables in console.env; empty when there is none."""
    values = dotenv_values(data_dir / KEPT_FILE)
    return {name: value for name, value in values.items() if value is not None}


def keep(data_dir: Path, values: Mapping[str, str]) -> None:
    """Set variables in console.env; every other line of it stays as it is."""
    path = data_dir / KEPT_FILE
    lines = path.read_text().splitlines() if path.is_file() else []
    lines = [line for line in lines if line.partition("=")[0].removeprefix("export ").strip() not in values]
    lines += [f"{name}={_quoted(value)}" for name, value in values.items()]
    write_private(path, "\n".join(lines) + "\n")


def read_layout(data_dir: Path) -> Layout | None:
    """The ports of the console in this data directory; None before its first start."""
    try:
        kept = json.loads((data_dir / LAYOUT_FILE).read_text())
        brokers = tuple(BrokerPorts(**broker) for broker in kept["brokers"])
        return Layout(int(kept["redis"]), brokers, str(kept.get("redis_password", "")))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise CannotStart(
            f"{data_dir / LAYOUT_FILE} can't be read ({error}): run `manage.py up --reset`"
        ) from error


def keep_layout(data_dir: Path, layout: Layout) -> None:
    brokers = [{"client": b.client, "controller": b.controller, "metrics": b.metrics} for b in layout.brokers]
    kept = {"redis": layout.redis_port, "redis_password": layout.redis_password, "brokers": brokers}
    write_private(data_dir / LAYOUT_FILE, json.dumps(kept, indent=1))


def settle_layout(data_dir: Path, *, brokers: int | None) -> Layout:
    """The kept layout, or a new one of the standard ports, each replaced where it is taken.

    `brokers` is None where the caller has no wish (3 at a first start). Raises CannotStart when
    the data was made with another number, or when a kept port is taken by another process.
    """
    kept = read_layout(data_dir)
    if kept is None:
        made = _new_layout(brokers or 3)
        keep_layout(data_dir, made)
        return made
    if brokers is not None and brokers != len(kept.brokers):
        raise CannotStart(
            f"the data in {data_dir} is of {len(kept.brokers)} brokers, not {brokers}: "
            "`manage.py up --reset` starts anew"
        )
    for port, purpose in kept.all_ports.items():
        ports.require_free(port, purpose)
    if not kept.redis_password:  # of a console whose Redis had none yet
        kept = replace(kept, redis_password=_new_password())
        keep_layout(data_dir, kept)
    return kept


def _new_layout(brokers: int) -> Layout:
    standard = [6379]
    for base in (9092, 9192, 9292):
        standard += range(base, base + brokers)
    taken = [port for port in standard if not ports.is_free(port)]
    instead = iter(ports.free(len(taken)))
    redis, *rest = [next(instead) if port in taken else port for port in standard]
    clients, controllers, metrics = (rest[n * brokers : (n + 1) * brokers] for n in range(3))
    each = tuple(BrokerPorts(*one) for one in zip(clients, controllers, metrics, strict=True))
    return Layout(redis, each, _new_password())


def _new_password() -> str:
    return secrets.token_urlsafe(32)


def addresses(layout: Layout, data_dir: Path) -> dict[str, str]:
    """The variables that `up` decides, whatever the environment says."""
    cluster = layout.cluster(data_dir)
    return {
        "KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap_servers,
        "KAFKA_BROKER_METRICS_URLS": ",".join(cluster.metrics_urls),
        "REDIS_URL": layout.redis_url,
        # Loopback without TLS: secure cookies would never come back.
        "GDS_HTTPS": "false",
    }


def read_users(data_dir: Path) -> dict[str, str]:
    """Passwords of the demo users; empty when there are none."""
    try:
        kept = json.loads((data_dir / USERS_FILE).read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return {str(name): str(password) for name, password in kept.items()}


def _quoted(value: str) -> str:
    if re.fullmatch(r"[\w.,:/@%+~-]*", value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
