"""One consumer of the alerting pipeline and two, each a process of its own, over one stream.

    .venv/bin/python bench/consumers.py [--messages 1000000] [--rounds 3]

The consumers join their group while the topic is empty and keep their places as static members do, so that
only reading is measured: from the first record of either to the last commit of the last. The broker runs
on the same cores: how much of them was free while one consumer ran says how much a second can add.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import psutil
import stage  # before anything of Django's
from alerting import FEW, make_rules

from gdsconsole.pipelines.models import Pipeline

# Of the cores, what has to be free for a second consumer to be of use.
NEEDED_CORES = 0.9


class Child:
    """A consumer in a process of its own, in the same environment."""

    def __init__(self, group: str, slot: int, partitions: int) -> None:
        words = [str(stage.ROOT / "bench" / "consumer_child.py"), group, str(slot), str(partitions)]
        self._process = subprocess.Popen(
            [sys.executable, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # The database among it, where the settings put it.
            env=os.environ,
        )

    def answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "a consumer died"
        told: dict[str, Any] = json.loads(line)
        return told

    def ask(self, what: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


def together(here: stage.Stage, consumers: int, count: int, number: int) -> tuple[float, float]:
    """Messages a second of so many consumers, and how many cores were idle meanwhile."""
    group = f"consumers-{consumers}-{number}"
    here.fresh(stage.TOPIC)
    Pipeline.objects.update_or_create(name="alerting", defaults={"group": group, "consumers": consumers})
    share = stage.PARTITIONS // consumers
    children = [Child(group, slot, share) for slot in range(consumers)]
    try:
        for child in children:
            child.answer()
        for child in children:
            child.ask("leave")
        for child in children:
            child.answer()
        stage.write(here, stage.TOPIC, count)
        psutil.cpu_times_percent()
        for child in children:
            child.ask(f"read {count}")
        told = [child.answer() for child in children]
        idle = psutil.cpu_times_percent().idle / 100 * (os.cpu_count() or 1)
    finally:
        for child in children:
            child.end()
    assert sum(one["count"] for one in told) == count, told
    return while_all_read([one["course"] for one in told]), idle


def while_all_read(courses: Sequence[Sequence[tuple[float, int]]]) -> float:
    """Records a second of all consumers, from when the last of them began until the first of them ended."""
    began, ended = max(course[0][0] for course in courses), min(course[-1][0] for course in courses)
    assert ended - began > 0.2, "the consumers hardly read at the same time: give them more messages"
    return sum(_count_at(course, ended) - _count_at(course, began) for course in courses) / (ended - began)


def _count_at(course: Sequence[tuple[float, int]], at: float) -> float:
    later = next(n for n, (when, _) in enumerate(course) if when >= at)
    (when, count), (before, counted) = course[later], course[max(0, later - 1)]
    return count if when == before else counted + (count - counted) * (at - before) / (when - before)


def main(arguments: Sequence[str] | None = None) -> None:
    given = stage.options(__doc__).parse_args(arguments)
    free: list[float] = []
    with stage.console() as here:
        for topic in (stage.TOPIC, "gds.metrics.dlq", "gds.alerts.production"):
            here.topic(topic)
        make_rules(100, share=FEW / 1_000_000)

        def one(number: int) -> float:
            rate, idle = together(here, 1, given.messages, number)
            free.append(idle)
            return rate

        rates = stage.alternate(
            "consumers",
            {"one": one, "two": lambda n: together(here, 2, given.messages, n)[0]},
            given.rounds,
        )
    idle = sorted(free)[len(free) // 2]
    stage.result(
        "consumers",
        "two consumers, of one",
        rates["two"] / rates["one"],
        at_least=1.5 if idle >= NEEDED_CORES else None,
        note=f"{idle:.1f} cores were idle beside one consumer, of {os.cpu_count()}",
        messages=given.messages,
    )


if __name__ == "__main__":
    main()
