"""Pipelines under Celery: a long task for each consumer, and the one that sees to it that they run.

A pipeline task is acknowledged before it runs: with a late acknowledgement, Redis hands a task that
outlives the visibility timeout to a second worker. A worker that dies loses the task, and the
reconciler sends another.
"""

from __future__ import annotations

import logging
import os
import signal
from typing import Any

import redis
from celery import Task, current_app, shared_task
from django.utils import timezone
from kombu.exceptions import ChannelError, OperationalError

from gdsconsole.assembly import pipeline_catalog
from gdsconsole.assembly.run_consumer import run_consumer
from gdsconsole.database.reporting import outages_logged
from gdsconsole.database.timeouts import PIPELINES, bound_waits
from gdsconsole.live.publish import flush
from gdsconsole.pipelines import capacity, dead_letter_claims
from gdsconsole.pipelines.draining import stop_signals
from gdsconsole.workers.stopping import worker_is_stopping

log = logging.getLogger(__name__)

QUEUE = capacity.QUEUE
# Longer than a busy worker takes to pick a task up, short enough that a stale one is never run.
EXPIRES_S = 6
# No limit would mean the limit of every other task; this is ten years.
TIME_LIMIT_S = 10 * 365 * 86_400


@shared_task(
    bind=True,
    name="gdsconsole.run_pipeline",
    acks_late=False,
    ignore_result=True,
    time_limit=TIME_LIMIT_S,
)
def run_pipeline(self: Task[Any, Any], name: str, slot: int) -> str:
    """Run one consumer in this worker child until it is drained; at once over where the slot is held."""
    parent = os.getppid()
    # Whoever signals the whole process group means the children too.
    with stop_signals(signal.SIGTERM) as signals:

        def stop() -> str:
            if signals.asked or worker_is_stopping.is_set():
                return "the worker is stopping"
            # Nobody would wait for this child, or ever tell it to stop.
            return "" if os.getppid() == parent else "the worker is gone"

        bound_waits(PIPELINES)
        ran = run_consumer(name, slot, stop=stop, worker=self.request.hostname or "")
    flush()
    return ran.ended.value if ran is not None and ran.ended is not None else "held"


@shared_task(name="gdsconsole.reconcile_pipelines", ignore_result=True, time_limit=30)
def reconcile_pipelines() -> int:
    """Send a task for every consumer that should run and doesn't, as far as there are processes; how many.

    Sending one too many does no harm: it finds the slot held. Only a queue that nobody reads is kept
    from growing.
    """
    try:
        with outages_logged(log, "no consumer is started"):
            return _reconcile()
    except (OperationalError, ChannelError, redis.RedisError, OSError) as error:
        log.warning("no consumer is started: Redis refuses: %s", error)
    return 0


@shared_task(name="gdsconsole.prune_claims", ignore_result=True, time_limit=60)
def prune_claims() -> int:
    """Forget whose dead letters are whose where every group has long been past them; how many."""
    with outages_logged(log, "no claim is forgotten"):
        return dead_letter_claims.prune(now=timezone.now())
    return 0


def _reconcile() -> int:
    pipeline_catalog.ensure_rows()
    now = timezone.now()
    start = capacity.place(names=pipeline_catalog.CATALOG, processes=capacity.processes(now=now), now=now)
    if not start or _queued() >= len(start):
        return 0
    for name, slot in start:
        run_pipeline.apply_async((name, slot), expires=EXPIRES_S)
    return len(start)


def _queued() -> int:
    """Tasks that wait for a worker; those that expired among them, until a worker drops them."""
    with current_app.connection_for_write() as connection:
        try:
            channel: Any = connection.default_channel
            declared = channel.queue_declare(QUEUE, passive=True)
        except ChannelError:
            return 0
        return int(declared.message_count)
