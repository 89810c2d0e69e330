"""One holder for each slot of a pipeline (`gdsconsole/database/leases.py`), and what it says of itself.

A holder that was replaced and writes before it looks starts from progress that isn't stored any more, and its
transaction fails. So the lease keeps order, and nothing depends on it for correctness.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from gdsconsole.database import leases
from gdsconsole.database.leases import Holder, Life, life_of
from gdsconsole.pipelines.models import Pipeline, PipelineConsumer

TTL = timedelta(seconds=15)
RENEW_EVERY = timedelta(seconds=3)
# A consumer speaks every second; this long after its last word it may be gone.
HEARD_WITHIN = timedelta(seconds=6)


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


def claim(*, name: str, slot: int, holder: Holder, now: datetime, ttl: timedelta = TTL) -> Lease | None:
    """Take the slot if it is free, or if its holder is known to be dead; None if it is held.

    Raises Pipeline.DoesNotExist.
    """
    pipeline = Pipeline.objects.get(name=name)
    consumer, _ = PipelineConsumer.objects.get_or_create(pipeline=pipeline, slot=slot)
    token = leases.claim(
        consumer,
        holder=holder,
        now=now,
        ttl=ttl,
        worker=holder.worker,
        makes_room=False,
        claimed_at=now,
        heartbeat_at=now,
        state=PipelineConsumer.State.STARTING,
        reason="",
        partitions=[],
        counters={},
    )
    return None if token is None else Lease(consumer.pk, name, slot, token)


def renew(*, lease: Lease, heartbeat: Heartbeat, now: datetime, ttl: timedelta = TTL) -> Desired | None:
    """Extend the lease, leave the heartbeat, and read what is wanted; None when the lease is lost."""
    kept = leases.renew(
        PipelineConsumer.objects.filter(pk=lease.consumer_id),
        token=lease.token,
        now=now,
        ttl=ttl,
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
    return leases.release(
        PipelineConsumer.objects.filter(pk=lease.consumer_id),
        token=lease.token,
        now=now,
        heartbeat_at=now,
        state=PipelineConsumer.State.STOPPED,
        reason=reason,
        partitions=[],
    )


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
