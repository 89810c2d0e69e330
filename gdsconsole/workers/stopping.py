"""That a worker stops, whatever the reason, and that its tasks are told.

A pipeline task never ends by itself, and Celery's warm shutdown waits for its tasks without telling them. It
shuts down when it is asked to, and also after any error it can't go on from.
"""

from __future__ import annotations

import logging
import mmap
import os
import threading
import time
from typing import Any

from celery import bootsteps
from celery.worker import state

log = logging.getLogger(__name__)

# How long a worker that nobody asked to stop waits for its tasks. Who asks one to stop bounds that himself.
LONGEST_END_S = 60.0
# EX_SOFTWARE: to systemd and Kubernetes a failure, like any other code but 0.
EXIT_CODE = 70


class SharedFlag:
    """One byte that a process shares with the children it forks.

    Made before the fork. A lock, or an event that has one inside, could be held for ever by a child
    that was killed in the middle of asking; a byte can't.
    """

    def __init__(self) -> None:
        self._byte = mmap.mmap(-1, 1)

    def set(self) -> None:
        self._byte[0] = 1

    def is_set(self) -> bool:
        return self._byte[0] == 1


# The parent makes it before it forks and sets it; the children see it.
worker_is_stopping = SharedFlag()


class TellTasks(bootsteps.StartStopStep):
    """Sets the flag when the worker begins to stop, before it waits for the pool.

    Celery calls `close` on each of its parts first, in whatever way the stop came about.
    """

    def close(self, parent: Any) -> None:
        worker_is_stopping.set()
        if not _was_asked_for():
            log.critical("the worker stops without having been asked to; its tasks are told to end")
            threading.Thread(target=_end_by_force, args=(LONGEST_END_S,), daemon=True).start()


def _was_asked_for() -> bool:
    """By a signal. Both are None or False while nobody asked, and the exit code, 0 too, afterwards."""
    asked = (state.should_stop, state.should_terminate)
    return any(code is not None and code is not False for code in asked)


def _end_by_force(after_s: float) -> None:
    """A supervisor starts a process again that has ended, not one that waits for ever.

    The children see that their parent is gone, and stop. What they write until then is fenced by leases.
    """
    time.sleep(after_s)
    log.critical("tasks did not end within %.0f s: the worker ends without them", after_s)
    logging.shutdown()
    os._exit(EXIT_CODE)
