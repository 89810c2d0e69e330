"""The processes that workers have for consumers, and who gets them."""

from __future__ import annotations

from collections.abc import Container
from datetime import datetime

from django.conf import settings

from gdsconsole.database.leases import is_dead
from gdsconsole.pipelines import placement
from gdsconsole.pipelines.leases import has_lapsed
from gdsconsole.pipelines.models import Pipeline, PipelineConsumer
from gdsconsole.pipelines.placement import Slot
from gdsconsole.workers import marks

# Of the tasks that run consumers.
QUEUE = "pipelines"


def processes(*, now: datetime) -> int | None:
    """How many processes the workers of pipelines have; None where no worker, or no Redis, says so."""
    return marks.processes(marks.read(settings.REDIS_URL), QUEUE, now=now.timestamp())


def place(*, names: Container[str], processes: int | None, now: datetime) -> list[Slot]:
    """The (name, slot) of each to start now, in order; those that make room for them are told to end.

    `names` are the pipelines that can be started, `processes` how many workers have; None is unknown.
    """
    held = _held(now)
    placed = placement.place(
        wanted={name: consumers for name, consumers in _wanted().items() if name in names},
        held=held,
        movable=[slot for slot, worker in held.items() if worker],
        processes=processes,
        stuck=_stuck(now),
    )
    for name, slot in placed.yielding:
        PipelineConsumer.objects.filter(pipeline__name=name, slot=slot).update(makes_room=True)
    return placed.start


def shortfall(*, name: str, processes: int | None, now: datetime) -> str:
    """In words, that a pipeline can't have all the consumers it wants; "" where it can, or nobody knows."""
    wanted = _wanted()
    by_hand = [slot for slot, worker in _held(now).items() if not worker]
    short = placement.shortage(wanted=wanted, processes=processes, by_hand=by_hand)
    if processes is None or name not in short:
        return ""
    return f"{short[name]} of {wanted[name]} consumers can run: {_told(processes, processes)}"


def taken(*, processes: int | None, now: datetime) -> str:
    """In words, that no process is free; "" where one is, or nobody knows."""
    busy = sum(1 for worker in _held(now).values() if worker)
    return _told(busy, processes) if processes is not None and busy >= processes else ""


def _wanted() -> dict[str, int]:
    return {pipeline.name: pipeline.consumers for pipeline in Pipeline.objects.all() if pipeline.is_wanted}


def _held(now: datetime) -> dict[Slot, str]:
    """Every slot that a living process holds, and the worker it is of."""
    consumers = PipelineConsumer.objects.filter(expires_at__gt=now).select_related("pipeline")
    return {
        (consumer.pipeline.name, consumer.slot): consumer.worker
        for consumer in consumers
        if not is_dead(consumer)
    }


def _stuck(now: datetime) -> int:
    """Processes of workers here that live and hold no slot any more: frozen, or without their database."""
    lapsed = PipelineConsumer.objects.filter(expires_at__lte=now, pid__isnull=False).exclude(worker="")
    return sum(1 for consumer in lapsed if has_lapsed(consumer, now=now, heard=lambda: None))


def _told(count: int, processes: int) -> str:
    return f"{count} of {processes} worker process{'' if processes == 1 else 'es'} are taken"
