"""One copy of the alerting pipeline, as `manage.py pipelines run` runs it: lease, heartbeat and all.

    python bench/copy_child.py GROUP SLOT PARTITIONS

As a process of its own it joins the group, waits for its share, and leaves its place to its next start,
as a static member does. Then each line `read N` on standard input makes it start and read N records, or
until a second passes without one; it answers with JSON.
"""

from __future__ import annotations

import json
import logging
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import stage  # before anything of Django's

from gdsconsole import catalog
from gdsconsole.kafka.steps import Batch
from gdsconsole.pipelines.models import Pipeline
from gdsconsole.running import run_copy
from topics.steps import RulesStep

NAME = "alerting"


@dataclass(slots=True)
class Reading:
    """What a copy did: when its first batch came, its last was handled, and its last commit acknowledged."""

    count: int = 0
    began: float = 0.0
    last: float = 0.0
    ended: float = 0.0

    @property
    def per_s(self) -> float:
        return self.count / (self.ended - self.began)


class CountingStep(RulesStep):
    """The alerting step, seen from outside: how many records came, and which were committed when."""

    def __init__(self, reading: Reading, on_stored: Callable[[Batch[Any]], None] | None, **how: Any) -> None:
        super().__init__(**how)
        self._reading = reading
        self._on_stored = on_stored

    def handle(self, batch: Batch[Any]) -> bool:
        reading = self._reading
        reading.began = reading.began or time.time()
        stored = super().handle(batch)
        reading.count += len(batch.values)
        reading.last = time.time()
        if stored and self._on_stored is not None:
            self._on_stored(batch)
        return stored


def read(
    group: str,
    count: int,
    *,
    slot: int = 0,
    idle_s: float = 60.0,
    on_stored: Callable[[Batch[Any]], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Reading:
    """Run a copy until it has read `count` records, or nothing came for `idle_s`, or `stop` says so."""
    reading = Reading()
    step = lambda: CountingStep(reading, on_stored, group=group)  # noqa: E731
    catalog.CATALOG = {NAME: replace(catalog.ALERTING, group=group, step=step)}
    Pipeline.objects.update_or_create(name=NAME, defaults={"group": group})

    def ended() -> str:
        idle = reading.began and time.time() - reading.last > idle_s
        return "enough" if reading.count >= count or idle or stop() else ""

    loop = run_copy(NAME, slot, stop=ended)
    assert loop is not None, f"slot {slot} is held"
    reading.ended = max(reading.last, loop.pipeline.snapshot().last_commit_at or 0.0)
    return reading


def join(group: str, slot: int, partitions: int) -> None:
    """Hold that many partitions for a moment; they stay this slot's."""
    spec = replace(catalog.ALERTING, group=group, step=lambda: RulesStep(group=group))
    pipeline = catalog.build(spec, slot=slot)
    pipeline.subscribe([stage.TOPIC])
    steady = 0
    while steady < 5:
        pipeline.run_once()
        held = pipeline.snapshot()
        steady = steady + 1 if len(held.partitions) == partitions and not held.waiting else 0
    pipeline.close(commit=True)


def main() -> None:
    logging.disable(logging.WARNING)
    group, slot, partitions = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if partitions:
        join(group, slot, partitions)
    print(json.dumps({"joined": partitions}), flush=True)
    for line in sys.stdin:
        reading = read(group, int(line.split()[1]), slot=slot, idle_s=1.0)
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            json.dumps(
                {
                    "count": reading.count,
                    "began": reading.began,
                    "ended": reading.ended,
                    "peak_mb": round(peak_mb, 1),
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
