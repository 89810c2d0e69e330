"""The lives of one consumer of a pipeline: `kill -9` again and again, then one in peace until SIGTERM.

    python -m tests.integration.lives NAME GROUP [--kills N --seed S --within S] [--before-marking]
        [--commits-first]

Django is loaded once. Every life that ends by a kill is a fork, so that a start costs milliseconds; it
makes its clients and connections itself. The moment of a kill is random, from the seed: while the consumer
starts, or right after it has begun to handle a number of batches; or it is the worst moment of the outbox,
when the broker has acknowledged events that are not marked yet. Each death is a line on stdout.
"""

from __future__ import annotations

import argparse
import gc
import mmap
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import django

django.setup()

from dlq.step import IndexStep  # noqa: E402
from gdsconsole.assembly import pipeline_catalog  # noqa: E402
from gdsconsole.assembly.run_consumer import run_consumer  # noqa: E402
from gdsconsole.database.timeouts import PIPELINES, bound_waits  # noqa: E402
from gdsconsole.kafka.consuming.batching import BatchPolicy  # noqa: E402
from gdsconsole.kafka.consuming.equipment import Policies  # noqa: E402
from gdsconsole.kafka.forwarding.transactional import InTransactions  # noqa: E402
from gdsconsole.kafka.offsets.commits import as_partitions  # noqa: E402
from gdsconsole.kafka.step import Batch  # noqa: E402
from gdsconsole.pipelines.consumer import Outcome  # noqa: E402
from gdsconsole.pipelines.draining import stop_signals  # noqa: E402
from topics.alerting import outbox  # noqa: E402
from topics.alerting.step import RulesStep  # noqa: E402
from topics.warehouse.step import WarehouseStep  # noqa: E402

STEPS: Mapping[str, Callable[..., Any]] = {
    "alerting": RulesStep,
    "warehouse": WarehouseStep,
    "dlq-index": IndexStep,
}
# Small, so that a kill finds many batches before and behind it.
SMALL = Policies(batch=BatchPolicy(minimum=5, maximum=20))
BIRTH_S = 0.4
AFTER_BATCH_S = 0.004
STARTS_WITHIN_S = 60.0


class Watched:
    """A step that says, where another process can see it, how many batches it has begun."""

    def __init__(self, step: Any, begun: mmap.mmap) -> None:
        self._step = step
        self._begun = begun

    def __getattr__(self, name: str) -> Any:
        return getattr(self._step, name)

    def handle(self, batch: Batch[Any]) -> bool:
        self._begun[0] = min(255, self._begun[0] + 1)
        stored: bool = self._step.handle(batch)
        return stored


class CommitsFirst:
    """The naive consumer: what it hands out is committed, before anything is done with it."""

    def __init__(self, source: Any) -> None:
        self._source = source

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def consume(self, count: int = 1, timeout: float = -1) -> list[Any]:
        records = self._source.consume(count, timeout)
        ends = {(one.topic(), one.partition()): one.offset() + 1 for one in records if one.error() is None}
        if ends:
            self._source.commit(offsets=as_partitions(ends), asynchronous=False)
        return list(records)


class DiesBeforeMarking(outbox.EventSender):
    """Ends its process by a kill once events are acknowledged, and before their rows say so."""

    def settle(self, *, now: datetime, wait_s: float = 0.0) -> int:
        if self._producer is not None:
            self._producer.flush(outbox.FLUSH_S)
        if self._acknowledged:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().settle(now=now, wait_s=wait_s)


def live(name: str, begun: mmap.mmap) -> int:
    """Start the consumer in a process of its own, which nothing but a kill ends; returns its id."""
    begun[0] = 0
    pid = os.fork()
    if pid == 0:
        # Whatever comes back, or is raised, is a failure.
        try:
            run_consumer(name, 0, stop=lambda: "")
        finally:
            os._exit(1)
    return pid


def mourn(name: str, pid: int, begun: mmap.mmap) -> None:
    """Tell of a life that a kill has ended."""
    _, status = os.waitpid(pid, 0)
    if not os.WIFSIGNALED(status):
        sys.exit(f"{name} ended by itself: status {status}")
    print(f"killed {begun[0]}", flush=True)  # noqa: T201


def kill(name: str, begun: mmap.mmap, chance: random.Random, within_s: float) -> None:
    """Start the consumer, and kill it at a random moment of its life: `within_s` of a batch's beginning."""
    batches, after_s = chance.choice([0, 1, 1, 2, 3, 5, 8]), chance.random()
    pid = live(name, begun)
    deadline = time.monotonic() + STARTS_WITHIN_S
    while begun[0] < batches:
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            sys.exit(f"{name} began {begun[0]} batches in {STARTS_WITHIN_S:g} s, not {batches}")
        time.sleep(0.0005)
    time.sleep(after_s * (within_s if batches else BIRTH_S))
    os.kill(pid, signal.SIGKILL)
    mourn(name, pid, begun)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=sorted(STEPS))
    parser.add_argument("group")
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--within", type=float, default=AFTER_BATCH_S)
    parser.add_argument("--before-marking", action="store_true")
    parser.add_argument("--commits-first", action="store_true")
    asked = parser.parse_args()
    name, group = asked.name, asked.group
    begun = mmap.mmap(-1, 1)
    spec = pipeline_catalog.CATALOG[name]
    is_dying = True

    def step() -> Watched:
        dying = {"sender": DiesBeforeMarking()} if is_dying and asked.before_marking else {}
        return Watched(STEPS[name](group=group, **dying), begun)

    def in_transactions(onward: InTransactions) -> pipeline_catalog.SendingStep:
        sending = pipeline_catalog.rules_in_transactions(onward, group=group)
        return replace(sending, step=Watched(sending.step, begun))

    pipeline_catalog.CATALOG = {
        name: replace(
            spec,
            group=group,
            step=step,
            in_transactions=in_transactions if spec.in_transactions else None,
            policies=SMALL if asked.kills else spec.policies,
        )
    }
    if asked.commits_first:
        opened = pipeline_catalog.open_member
        pipeline_catalog.open_member = lambda *args, **how: CommitsFirst(opened(*args, **how))
    bound_waits(PIPELINES)
    # A consumer has its heap collected before it begins. Of what is loaded here, no life has to do it again.
    gc.freeze()
    chance = random.Random(asked.seed)
    for _ in range(asked.kills):
        if asked.before_marking:
            mourn(name, live(name, begun), begun)
        else:
            kill(name, begun, chance, asked.within)
    is_dying = False
    pipeline_catalog.CATALOG = {name: replace(pipeline_catalog.CATALOG[name], policies=spec.policies)}
    with stop_signals(signal.SIGTERM) as signals:
        ran = run_consumer(name, 0, stop=lambda: "asked to stop" if signals.asked else "")
    sys.exit(None if ran is not None and ran.ended is Outcome.DRAINED else f"{name}: {ran and ran.why}")


if __name__ == "__main__":
    main()
