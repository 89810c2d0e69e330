"""Starting a consumer of a pipeline in this process, under Celery or without it."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.utils import timezone

from gdsconsole.assembly import pipeline_catalog
from gdsconsole.database.leases import this_process
from gdsconsole.live.publish import publish
from gdsconsole.pipelines import leases
from gdsconsole.pipelines.consumer import ConsumerLoop

log = logging.getLogger(__name__)


def run_consumer(name: str, slot: int, *, stop: Callable[[], str], worker: str = "") -> ConsumerLoop | None:
    """Claim the slot and run its consumer until it ends; None where another process holds the slot.

    `stop` says why to drain, or nothing; `worker` is the one whose process this is. The answer's `ended`
    and `why` say how it came out.
    """
    spec = pipeline_catalog.CATALOG[name]
    pipeline_catalog.ensure_rows()
    lease = leases.claim(name=name, slot=slot, holder=this_process(worker=worker), now=timezone.now())
    if lease is None:
        return None
    log.info("%s/%d starts", name, slot)
    try:
        pipeline = pipeline_catalog.build(spec, slot=slot)
    except BaseException as error:
        leases.release(lease=lease, now=timezone.now(), reason=f"{type(error).__name__}: {error}")
        raise
    loop = ConsumerLoop(
        lease=lease,
        group=spec.group,
        pipeline=pipeline,
        topics=spec.topics,
        stop=stop,
        publish=publish,
        clock=timezone.now,
    )
    with _settled_heap():
        outcome = loop.run()
    log.info("%s/%d ends: %s: %s", name, slot, outcome.value, loop.why)
    return loop


@contextmanager
def _settled_heap() -> Iterator[None]:
    """Keep the collector from what is loaded by now: looking through it took a fifth of the throughput."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
