"""One consumer of the alerting pipeline, as `manage.py pipelines run` runs it: lease, heartbeat and all.

    python bench/consumer_child.py GROUP SLOT PARTITIONS

As a process of its own it joins the group, says when it holds its share, and at the next line on standard
input leaves its place to its next start, as a static member does. Then each line `read N` makes it start and
read N records, or until a second passes without one. Every answer is a line of JSON.
"""

from __future__ import annotations

import json
import logging
import resource
import select
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import stage  # before anything of Django's

from gdsconsole.assembly import pipeline_catalog
from gdsconsole.assembly.run_consumer import run_consumer
from gdsconsole.kafka.step import Batch
from gdsconsole.pipelines.models import Pipeline
from topics.alerting.step import RulesStep

NAME = "alerting"
# What a consumer may take until its first record.
START_S = 30.0
EVERY_S = 0.02
# And until it holds its share: what it waits for then isn't there.
JOINED_S = 60.0


@dataclass(slots=True)
class Reading:
    """What a consumer did: when its first batch came, its last was handled, its last commit acknowledged."""

    count: int = 0
    began: float = 0.0
    last: float = 0.0
    ended: float = 0.0
    # The time and the count, now and then.
    course: list[tuple[float, int]] = field(default_factory=list)

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
        if not reading.course or reading.last - reading.course[-1][0] > EVERY_S:
            reading.course.append((reading.last, reading.count))
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
    """Run a consumer until it has read `count` records, or nothing came for `idle_s`, or `stop` says so."""
    reading = Reading()
    step = lambda: CountingStep(reading, on_stored, group=group)  # noqa: E731
    pipeline_catalog.CATALOG = {NAME: replace(pipeline_catalog.ALERTING, group=group, step=step)}
    Pipeline.objects.update_or_create(name=NAME, defaults={"group": group})

    started = time.time()

    def ended() -> str:
        idle = time.time() - (reading.last or started + START_S) > idle_s
        return "enough" if reading.count >= count or idle or stop() else ""

    loop = run_consumer(NAME, slot, stop=ended)
    assert loop is not None, f"slot {slot} is held"
    reading.ended = max(reading.last, loop.pipeline.snapshot().last_commit_at or 0.0)
    return reading


def join(group: str, slot: int, partitions: int) -> None:
    """Hold that many partitions until a line comes: the others may still need this one to share with."""
    spec = replace(pipeline_catalog.ALERTING, group=group, step=lambda: RulesStep(group=group))
    pipeline = pipeline_catalog.build(spec, slot=slot)
    pipeline.subscribe([stage.TOPIC])
    told, deadline = False, time.monotonic() + JOINED_S
    while not select.select([sys.stdin], [], [], 0)[0]:
        pipeline.run_once()
        held = pipeline.snapshot()
        if not told and len(held.partitions) == partitions and not held.waiting:
            print(json.dumps({"joined": partitions}), flush=True)
            told = True
        assert told or time.monotonic() < deadline, f"{held.partitions}, waiting: {held.waiting}"
    sys.stdin.readline()
    pipeline.close(commit=True)
    print(json.dumps({"left": partitions}), flush=True)


def main() -> None:
    logging.disable(logging.WARNING)
    group, slot, partitions = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if partitions:
        join(group, slot, partitions)
    for line in sys.stdin:
        reading = read(group, int(line.split()[1]), slot=slot, idle_s=1.0)
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            json.dumps(
                {
                    "count": reading.count,
                    "began": reading.began,
                    "ended": reading.ended,
                    "course": reading.course,
                    "peak_mb": round(peak_mb, 1),
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
