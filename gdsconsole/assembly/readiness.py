"""Whether the console's parts answer: what `/readyz` says and `manage.py up` waits for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import redis
from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.utils import timezone

from gdsconsole import heartbeat
from gdsconsole.database.outages import outage_of
from gdsconsole.database.timeouts import hurried
from gdsconsole.kafka.cluster import metadata
from gdsconsole.kafka.errors import KafkaUnavailable
from gdsconsole.pipelines import capacity, services
from gdsconsole.pipelines.connection import kafka_settings
from gdsconsole.pipelines.models import Pipeline, PipelineConsumer, WriteProbe
from gdsconsole.redis_clients import redis_client
from gdsconsole.workers import marks

KAFKA_TIMEOUT_S = 3.0
WRITE_TIMEOUT_MS = 2_000
# Ticks are 2 s apart; a worker busy with a long task may miss some.
OLDEST_HEARTBEAT_S = 15.0
KEPT_FOR_S = 0.5
REDIS_PROBE = "gds:readiness"


@dataclass(frozen=True, slots=True)
class PartReadiness:
    name: str
    ok: bool
    detail: str  # for people; holds no address and no secret, since anybody may ask


def read() -> list[PartReadiness]:
    """Every part as it is now, or was half a second ago; a part that can't be read is not ready."""
    with _reading:
        global _kept
        if _kept is None or time.monotonic() - _kept[0] > KEPT_FOR_S:
            _kept = (time.monotonic(), [_checked(name, check) for name, check in CHECKS.items()])
        return _kept[1]


def database() -> str:
    """Raises when the database can't be written: reading alone works on a locked, full or read-only one."""
    with hurried(WRITE_TIMEOUT_MS):
        WriteProbe.objects.update_or_create(pk=1, defaults={"written_at": timezone.now()})
    return "takes writes"


def redis_server() -> str:
    """Raises when Redis can't be written: in a failover, with a full disk or memory, reading alone works."""
    with redis_client(timeout_s=2) as client:
        try:
            client.set(REDIS_PROBE, "1", ex=60)
        except redis.ResponseError as error:
            raise NotReady(f"refuses writes: {error}") from error
    return "takes writes"


def kafka() -> str:
    seen = metadata.read_cluster(kafka_settings(), timeout_s=KAFKA_TIMEOUT_S)
    missing = seen.expected_ids - seen.live_ids
    if missing:
        raise NotReady(f"broker {', '.join(map(str, sorted(missing)))} is missing")
    if seen.leaderless:
        raise NotReady(f"{len(seen.leaderless)} partitions have no leader")
    return f"{len(seen.live_ids)} brokers"


def workers() -> str:
    age = heartbeat.age_s(now=time.time())
    if age is None:
        raise NotReady("beat and worker have not been heard of yet")
    if age > OLDEST_HEARTBEAT_S:
        raise NotReady(f"beat or worker was last heard of {age:.0f} s ago")
    found = marks.read(settings.REDIS_URL) or []
    queues = [queue.name for queue in settings.CELERY_TASK_QUEUES]
    left = [queue for queue in queues if not marks.consuming(found, queue, now=time.time())]
    if left:
        raise NotReady(f"no worker takes tasks from {', '.join(left)}")
    return f"heard of {age:.1f} s ago"


def pipelines() -> str:
    now = timezone.now()
    declared = list(Pipeline.objects.prefetch_related("slots"))
    wanted = [pipeline for pipeline in declared if pipeline.is_wanted]
    waiting = [one for one in wanted if not holds_partitions(list(one.slots.all()), now)]
    if not declared:
        raise NotReady("none is declared yet")
    if waiting:
        taken = capacity.taken(processes=capacity.processes(now=now), now=now)
        raise NotReady("; ".join(f"{one.name} {_why_not(one, taken, now)}" for one in waiting))
    return f"{len(wanted)} running" if wanted else "none is wanted: all are paused or halted"


def _why_not(pipeline: Pipeline, taken: str, now: datetime) -> str:
    consumers = list(pipeline.slots.all())
    if any(services.waits_for_database(pipeline.name, consumer, now=now) for consumer in consumers):
        return services.WAITS_FOR_DATABASE
    if taken and not any(consumer.is_held(now) for consumer in consumers):
        return f"has no consumer: {taken}"
    return "has no partitions yet"


def holds_partitions(consumers: list[PipelineConsumer], now: datetime) -> bool:
    """True when some consumer of a pipeline runs and has partitions to work on.

    Partitions that wait for a person's decision are held too: the console is ready to take it.
    """
    at_work = (PipelineConsumer.State.RUNNING, PipelineConsumer.State.HALTED)
    return any(
        consumer.is_held(now) and consumer.state in at_work and consumer.partitions for consumer in consumers
    )


class NotReady(Exception):
    """A part answers and says, or its absence shows, that it can't do its work yet."""


CHECKS: dict[str, Callable[[], str]] = {
    "database": database,
    "redis": redis_server,
    "kafka": kafka,
    "workers": workers,
    "pipelines": pipelines,
}

_reading = threading.Lock()
_kept: tuple[float, list[PartReadiness]] | None = None


def _checked(name: str, check: Callable[[], str]) -> PartReadiness:
    try:
        return PartReadiness(name, True, check())
    except NotReady as reason:
        return PartReadiness(name, False, str(reason))
    except (DatabaseError, InterfaceError) as error:
        outage = outage_of(error)
        return PartReadiness(name, False, f"is {outage.cause.value}" if outage else "refuses a write")
    except (redis.RedisError, KafkaUnavailable, OSError):
        return PartReadiness(name, False, "does not answer")
