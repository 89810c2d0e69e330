"""One holder for each slot of a pipeline.

A lease is a row with a token that grows with every claim. A holder that was replaced finds another
token there and stops; should it write before it looks, the progress it starts from isn't stored any
more and its transaction fails. So the lease keeps order, and nothing depends on it for correctness.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import psutil
from django.db.models import F

from gdsconsole.pipelines.models import Pipeline, PipelineConsumer

TTL = timedelta(seconds=15)
RENEW_EVERY = timedelta(seconds=3)
# A consumer speaks every second; this long after its last word it may be gone.
HEARD_WITHIN = timedelta(seconds=6)


@dataclass(frozen=True, slots=True)
class Holder:
    """A process. `pid_space` and `pid_started` tell it from others with its number.

    `worker` is the one whose process it is, "" for a process of its own.
    """

    host: str
    pid: int
    pid_space: str
    pid_started: float
    worker: str = ""


class HeldSlot(Protocol):
    """A row that remembers its holder as `Holder` describes one; no pid: nobody holds it."""

    @property
    def pid(self) -> int | None: ...
    @property
    def pid_space(self) -> str: ...
    @property
    def pid_started(self) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Lease:
    consumer_id: int
    name: str
    slot: int
    token: int


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a holder says of itself; `partitions` are `topic-number`."""

    state: PipelineConsumer.State
    reason: str
    partitions: list[str]
    counters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Desired:
    """What the holder of a slot is to do. `reason` says why it isn't wanted."""

    is_wanted: bool
    reason: str


def this_process(*, worker: str = "") -> Holder:
    """The holder that the running process is."""
    pid = os.getpid()
    return Holder(socket.gethostname(), pid, _pid_space(), psutil.Process(pid).create_time(), worker)


def claim(*, name: str, slot: int, holder: Holder, now: datetime, ttl: timedelta = TTL) -> Lease | None:
    """Take the slot if it is free, or if its holder is known to be dead; None if it is held.

    Raises Pipeline.DoesNotExist.
    """
    pipeline = Pipeline.objects.get(name=name)
    consumer, _ = PipelineConsumer.objects.get_or_create(pipeline=pipeline, slot=slot)
    if consumer.is_held(now) and not is_dead(consumer):
        return None
    # Of two that see it free, the token lets one through.
    taken = PipelineConsumer.objects.filter(pk=consumer.pk, token=consumer.token).update(
        token=F("token") + 1,
        host=holder.host,
        pid=holder.pid,
        pid_space=holder.pid_space,
        pid_started=holder.pid_started,
        worker=holder.worker,
        makes_room=False,
        claimed_at=now,
        heartbeat_at=now,
        expires_at=now + ttl,
        state=PipelineConsumer.State.STARTING,
        reason="",
        partitions=[],
        counters={},
    )
    return Lease(consumer.pk, name, slot, consumer.token + 1) if taken else None


def renew(*, lease: Lease, heartbeat: Heartbeat, now: datetime, ttl: timedelta = TTL) -> Desired | None:
    """Extend the lease, leave the heartbeat, and read what is wanted; None when the lease is lost.

    A lease that is over but that nobody took is renewed: there is no one to make way for.
    """
    kept = PipelineConsumer.objects.filter(pk=lease.consumer_id, token=lease.token).update(
        expires_at=now + ttl,
        heartbeat_at=now,
        state=heartbeat.state,
        reason=heartbeat.reason,
        partitions=heartbeat.partitions,
        counters=heartbeat.counters,
    )
    if not kept:
        return None
    consumer = PipelineConsumer.objects.select_related("pipeline").get(pk=lease.consumer_id)
    pipeline = consumer.pipeline
    if pipeline.halted_reason:
        return Desired(is_wanted=False, reason="halted")
    if pipeline.state != Pipeline.State.RUNNING:
        return Desired(is_wanted=False, reason=pipeline.state)
    if lease.slot >= pipeline.consumers:
        return Desired(is_wanted=False, reason=f"scaled to {pipeline.consumers}")
    if consumer.makes_room:
        return Desired(is_wanted=False, reason="makes room for a pipeline that has no consumer")
    return Desired(is_wanted=True, reason="")


def release(*, lease: Lease, now: datetime, reason: str = "") -> bool:
    """Free the slot at once; whether it was still ours."""
    freed = PipelineConsumer.objects.filter(pk=lease.consumer_id, token=lease.token).update(
        token=F("token") + 1,
        expires_at=now,
        heartbeat_at=now,
        pid=None,
        state=PipelineConsumer.State.STOPPED,
        reason=reason,
        partitions=[],
    )
    return bool(freed)


class Life(Enum):
    """What is known of a holder's process."""

    ALIVE = "alive"
    FROZEN = "frozen"
    DEAD = "dead"
    UNKNOWN = "unknown"


def life_of(consumer: HeldSlot) -> Life:
    """Of a process of this very machine and container; of one elsewhere nothing is known."""
    if consumer.pid is None or consumer.pid_space != _pid_space():
        return Life.UNKNOWN
    try:
        process = psutil.Process(consumer.pid)
        status = process.status()
        is_other = consumer.pid_started is not None and abs(process.create_time() - consumer.pid_started) > 1
    except psutil.NoSuchProcess:
        return Life.DEAD
    except psutil.AccessDenied:
        return Life.UNKNOWN
    if status == psutil.STATUS_ZOMBIE or is_other:
        return Life.DEAD
    return Life.FROZEN if status in _FROZEN else Life.ALIVE


_FROZEN = (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)


def is_dead(consumer: HeldSlot) -> bool:
    """Whether the holder is known to be gone before its lease is over."""
    return life_of(consumer) is Life.DEAD


def has_lapsed(consumer: PipelineConsumer, *, now: datetime, heard: Callable[[], datetime | None]) -> bool:
    """Whether the lease ran out while its holder lives, which can't renew it: the database takes no writes.

    `heard` is asked, of a process elsewhere, when it last spoke.
    """
    if consumer.pid is None or consumer.is_held(now):
        return False
    life = life_of(consumer)
    if life is Life.UNKNOWN:
        spoke = heard()
        return spoke is not None and now - spoke <= HEARD_WITHIN
    return life is Life.ALIVE


@cache
def _pid_space() -> str:
    """Names the kernel and the process namespace in which a process id means something."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return f"{socket.gethostname()} {int(psutil.boot_time())}"
