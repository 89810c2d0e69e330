"""The part of a worker that leaves its marks."""

from __future__ import annotations

import logging
import socket
import time
from typing import Any

import redis
from celery import bootsteps
from django.conf import settings

from gdsconsole.workers import marks

log = logging.getLogger(__name__)


class LeaveMarks(bootsteps.StartStopStep):
    """Runs on the timer of the loop that asks Redis for tasks; started anew with each connection."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._entry: Any = None
        self._is_refused = False

    def start(self, parent: Any) -> None:
        self._entry = parent.timer.call_repeatedly(marks.EVERY_S, self.leave, (parent,))
        try:
            others = marks.read(settings.REDIS_URL) or []
            marks.forget(settings.REDIS_URL, marks.forgotten(others, now=time.time()))
        except redis.RedisError as error:
            log.warning("old marks are not forgotten: %s", error)

    def stop(self, parent: Any) -> None:
        if self._entry is not None:
            self._entry.cancel()
            self._entry = None

    terminate = stop

    def shutdown(self, parent: Any) -> None:
        try:
            marks.forget(settings.REDIS_URL, [parent.hostname])
        except redis.RedisError as error:
            log.info("the mark is left to age: %s", error)

    def leave(self, parent: Any) -> None:
        """One mark. Whoever reads it judges its age, so one that can't be left needs nothing more."""
        answered_at = getattr(parent.task_consumer.channel, "answered_at", None)
        mark = marks.Mark(
            name=parent.hostname,
            host=socket.gethostname(),
            pid=parent.pid,
            queues=tuple(sorted(queue.name for queue in parent.task_consumer.queues)),
            processes=parent.pool.num_processes,
            answered_s=None if answered_at is None else time.monotonic() - answered_at,
            at=time.time(),
        )
        try:
            marks.write(settings.REDIS_URL, mark)
        except redis.RedisError as error:
            if not self._is_refused:
                log.warning("no mark is left: %s", error)
            self._is_refused = True
            return
        self._is_refused = False
