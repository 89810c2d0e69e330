"""Seeded telemetry of a small fleet of databases, for the demo, the benchmarks and the tests.

Every series walks around its usual level. Now and then an instance has an incident that drives some
of its metrics past the default alert rules for half a minute or so, and then recovers. A share of the
records can be poison of every kind the decoder refuses.

Pure: the same seed and the same clock give the same bytes. Levels move with the clock's time, not with
the number of records, so a fleet looks the same at 10 records a second and at 10,000.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from random import Random

import msgspec

from topics.telemetry import Metric, default_key, encode_metric

Clock = Callable[[], datetime]

RECOVERY_S = 8.0
INCIDENT_RISE_S = 3.0
FIRST_INCIDENT_S = (4.0, 12.0)
INCIDENT_EVERY_S = (30.0, 90.0)
INCIDENT_LASTS_S = (25.0, 60.0)
_REGIONS = ("eu-central-1", "us-east-1", "ap-southeast-2")
_TENANTS = ("acme", "globex", "initech", "umbrella")


@dataclass(frozen=True, slots=True)
class Walk:
    """How one metric behaves on a good day: around `usual`, within `low` and `high`."""

    metric_name: str
    usual: float
    spread: float
    low: float
    high: float


_COMMON = (
    Walk("cpu_usage_percent", 38.0, 9.0, 2.0, 74.0),
    Walk("memory_used_percent", 63.0, 4.0, 30.0, 84.0),
    Walk("connections_active", 120.0, 25.0, 5.0, 320.0),
    Walk("connections_used_percent", 41.0, 8.0, 2.0, 78.0),
    Walk("replication_lag_seconds", 0.4, 0.3, 0.0, 4.0),
    Walk("disk_used_percent", 58.0, 0.6, 40.0, 79.0),
    Walk("query_latency_p99_ms", 34.0, 9.0, 3.0, 140.0),
)
WALKS: dict[str, tuple[Walk, ...]] = {
    "postgresql": (
        *_COMMON,
        Walk("cache_hit_ratio_percent", 99.1, 0.4, 96.0, 100.0),
        Walk("transactions_per_second", 860.0, 140.0, 50.0, 2400.0),
    ),
    "mongodb": (
        *_COMMON,
        Walk("cache_used_percent", 71.0, 4.0, 40.0, 88.0),
        Walk("operations_per_second", 2150.0, 320.0, 200.0, 6000.0),
    ),
}
# What an incident does: the levels its metrics move to.
INCIDENTS: dict[str, dict[str, float]] = {
    "cpu saturated": {"cpu_usage_percent": 93.0, "query_latency_p99_ms": 420.0},
    "replica behind": {"replication_lag_seconds": 95.0},
    "connection storm": {"connections_used_percent": 96.0, "connections_active": 480.0},
    "disk filling": {"disk_used_percent": 93.5},
    "slow queries": {"query_latency_p99_ms": 780.0, "cpu_usage_percent": 71.0},
}


@dataclass(slots=True)
class _Instance:
    database_type: str
    instance_id: str
    tags: dict[str, str]
    levels: dict[str, float]
    moved_at: datetime
    incident: dict[str, float] = field(default_factory=dict)
    incident_ends: datetime | None = None


def instance_names(count: int) -> list[str]:
    """`prod-db-01`, `prod-db-02`…"""
    width = max(2, len(str(count)))
    return [f"prod-db-{number:0{width}}" for number in range(1, count + 1)]


def telemetry(
    *,
    clock: Clock,
    instances: int = 12,
    poison: float = 0.0,
    seed: int = 0,
    environment: str = "production",
    incidents: bool = True,
) -> Iterator[tuple[bytes | None, bytes | None]]:
    """Yield (key, value) for ever, one metric of one instance at a time.

    `clock` is asked once a record and stamps it. `poison` is the share of records, 0 to 1, replaced by
    something the decoder refuses. Raises `ValueError` naming an argument out of range.
    """
    if instances < 1:
        raise ValueError(f"instances: at least 1, got {instances}")
    if not 0.0 <= poison <= 1.0:
        raise ValueError(f"poison: a share from 0 to 1, got {poison}")
    random = Random(seed)  # noqa: S311 - repeatable on purpose
    return _records(random, clock, instances, poison, environment, incidents)


def _records(
    random: Random, clock: Clock, instances: int, poison: float, environment: str, incidents: bool
) -> Iterator[tuple[bytes | None, bytes | None]]:
    fleet = _fleet(random, instances, environment, clock())
    series = [(instance, walk) for instance in fleet for walk in WALKS[instance.database_type]]
    next_incident = _after(clock(), random.uniform(*FIRST_INCIDENT_S))
    kinds = list(POISON.values())
    while True:
        for instance, walk in series:
            now = clock()
            if incidents and now >= next_incident:
                _begin_incident(random, fleet, now)
                next_incident = _after(now, random.uniform(*INCIDENT_EVERY_S))
            _move(random, instance, now)
            metric = Metric(
                timestamp=now,
                database_type=instance.database_type,
                instance_id=instance.instance_id,
                metric_name=walk.metric_name,
                value=round(instance.levels[walk.metric_name], 2),
                tags=instance.tags,
            )
            value: bytes | None = encode_metric(metric)
            if poison and random.random() < poison:
                value = random.choice(kinds)(metric)
            yield default_key(metric).encode(), value


def _fleet(random: Random, count: int, environment: str, now: datetime) -> list[_Instance]:
    fleet = []
    for number, name in enumerate(instance_names(count)):
        database_type = "mongodb" if number % 3 == 2 else "postgresql"
        fleet.append(
            _Instance(
                database_type=database_type,
                instance_id=name,
                tags={
                    "environment": environment,
                    "region": _REGIONS[number % len(_REGIONS)],
                    "tenant_id": _TENANTS[number % len(_TENANTS)],
                    "role": "replica" if number % 4 == 3 else "primary",
                },
                levels={walk.metric_name: _start(random, walk) for walk in WALKS[database_type]},
                moved_at=now,
            )
        )
    return fleet


def _start(random: Random, walk: Walk) -> float:
    return _within(walk, random.gauss(walk.usual, walk.spread))


def _within(walk: Walk, level: float) -> float:
    return min(max(level, walk.low), walk.high)


def _after(moment: datetime, seconds: float) -> datetime:
    return datetime.fromtimestamp(moment.timestamp() + seconds, tz=moment.tzinfo)


def _begin_incident(random: Random, fleet: list[_Instance], now: datetime) -> None:
    calm = [instance for instance in fleet if instance.incident_ends is None]
    if not calm:
        return
    instance = random.choice(calm)
    instance.incident = INCIDENTS[random.choice(sorted(INCIDENTS))]
    instance.incident_ends = _after(now, random.uniform(*INCIDENT_LASTS_S))


def _move(random: Random, instance: _Instance, now: datetime) -> None:
    """Move all levels of an instance to `now`, at most once every tenth of a second."""
    elapsed_s = (now - instance.moved_at).total_seconds()
    if elapsed_s < 0.1:
        return
    instance.moved_at = now
    if instance.incident_ends is not None and now >= instance.incident_ends:
        instance.incident, instance.incident_ends = {}, None
    settled = math.exp(-elapsed_s / RECOVERY_S)
    driven = math.exp(-elapsed_s / INCIDENT_RISE_S)
    for walk in WALKS[instance.database_type]:
        level = instance.levels[walk.metric_name]
        target = instance.incident.get(walk.metric_name)
        if target is not None:
            wobble = random.gauss(0.0, abs(target) * 0.01)
            instance.levels[walk.metric_name] = target + (level - target) * driven + wobble
            continue
        # An Ornstein-Uhlenbeck step: its spread doesn't depend on how often it is taken.
        noise = random.gauss(0.0, walk.spread * math.sqrt(1.0 - settled * settled))
        moved = walk.usual + (level - walk.usual) * settled + noise
        # Recovering from an incident, a level comes back gradually from outside its usual bounds.
        beyond = level < walk.low or level > walk.high
        instance.levels[walk.metric_name] = moved if beyond else _within(walk, moved)


def _changed(metric: Metric, **fields: object) -> bytes:
    return msgspec.json.encode({**msgspec.structs.asdict(metric), **fields})


def _without(metric: Metric, name: str) -> bytes:
    fields = msgspec.structs.asdict(metric)
    del fields[name]
    return msgspec.json.encode(fields)


# Every way a record can be wrong; each takes the good metric it replaces.
POISON: dict[str, Callable[[Metric], bytes | None]] = {
    "null value": lambda metric: None,
    "empty": lambda metric: b"",
    "not JSON": lambda metric: f"{metric.metric_name}={metric.value}".encode(),
    "truncated": lambda metric: encode_metric(metric)[:-20],
    "not UTF-8": lambda metric: encode_metric(metric).replace(b'"instance_id":"', b'"instance_id":"\xff\xfe'),
    "an array": lambda metric: b"[" + encode_metric(metric) + b"]",
    "missing value": lambda metric: _without(metric, "value"),
    "value as text": lambda metric: _changed(metric, value=f"{metric.value} %"),
    "value as boolean": lambda metric: _changed(metric, value=True),
    "NaN": lambda metric: _changed(metric, value=-1).replace(b'"value":-1', b'"value":NaN'),
    "beyond a double": lambda metric: _changed(metric, value=-1).replace(b'"value":-1', b'"value":1e999'),
    "time without a zone": lambda metric: _changed(metric, timestamp=metric.timestamp.isoformat()[:19]),
    "empty instance": lambda metric: _changed(metric, instance_id=""),
    "tag as number": lambda metric: _changed(metric, tags={**metric.tags, "port": 5432}),
}
