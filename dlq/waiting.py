"""Waiting for a replay run, for a person at a terminal, within bounds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from dlq.models import ReplayRun, ReplayRunState

POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class RunProgress:
    """`is_settled`, or why not in one line."""

    run: ReplayRun
    is_settled: bool
    problem: str = ""


def wait_for(
    run: ReplayRun,
    *,
    pickup_s: float,
    timeout_s: float,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> RunProgress:
    """Return once the run is finished, or no worker took it up in `pickup_s`, or `timeout_s` is over.

    A run that isn't settled isn't lost: a worker takes it up whenever there is one.
    """
    began = clock()
    while True:
        run.refresh_from_db()
        if run.state == ReplayRunState.FINISHED:
            return RunProgress(run, is_settled=True)
        waited = clock() - began
        if run.started_at is None and not run.waiting_for and waited >= min(pickup_s, timeout_s):
            return RunProgress(run, is_settled=False, problem=_no_worker(run, waited))
        if waited >= timeout_s:
            return RunProgress(run, is_settled=False, problem=_late(run, waited))
        sleep(POLL_S)


def _no_worker(run: ReplayRun, waited_s: float) -> str:
    return (
        f"replay {run.pk}: no worker took it up in {waited_s:.0f} s. Nothing is lost: it starts as soon as a "
        "worker of the queue `replay` runs (`manage.py up`, or `celery -A gdsconsole worker -Q replay`)"
    )


def _late(run: ReplayRun, waited_s: float) -> str:
    why = f": {run.waiting_for}" if run.waiting_for else ""
    return (
        f"replay {run.pk}: {run.replayed + run.failed} of {run.total} settled in {waited_s:.0f} s{why}. "
        "Nothing is lost: a worker goes on with it"
    )
