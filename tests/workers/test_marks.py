"""What workers say of themselves, and who may be believed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from gdsconsole.workers import marks
from tests.integration.processes import Part, console_parts
from tests.waiting import wait_until

NOW = 1_768_473_000.0


def mark(name: str = "pipelines@node-7", **changes: object) -> marks.Mark:
    said = {"host": "node-7", "pid": 4711, "queues": ("pipelines",), "processes": 12, "answered_s": 0.5}
    return marks.Mark(**{"name": name, "at": NOW, **said, **changes})


def test_processes_are_those_of_workers_that_take_tasks_now() -> None:
    found = [
        mark("a"),
        mark("b", processes=4, queues=("default", "pipelines")),
        mark("another queue", queues=("default",)),
        mark("silent", at=NOW - 11),
        mark("from a clock that is wrong", at=NOW + 1e9),
        mark("hears nothing", answered_s=6.0),
        mark("never heard anything", answered_s=None),
    ]
    assert marks.processes(found, "pipelines", now=NOW) == 16
    assert marks.processes(found[3:], "pipelines", now=NOW) is None
    assert marks.processes(None, "pipelines", now=NOW) is None


@pytest.mark.redis
def test_garbage_among_the_marks_is_no_mark(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.set(marks.KEY, "of another type")
        assert marks.read(redis_url) is None
        marks.write(redis_url, mark())
        client.hset(marks.KEY, mapping={"a": "no json", "b": "[]", "c": '{"name": 7}', "d": b"\xff"})
        assert marks.read(redis_url) == [mark()]


def test_without_redis_nothing_is_known() -> None:
    assert marks.read("redis://127.0.0.1:1/0") is None
    assert marks.takes_writes("redis://127.0.0.1:1/0") is False


@pytest.fixture
def worker(redis_url: str, subprocess_environment: dict[str, str], tmp_path: Path) -> Iterator[Part]:
    with console_parts(subprocess_environment, tmp_path) as parts:
        yield parts.worker(concurrency=2, queues="pipelines,replay")


@pytest.mark.redis
@pytest.mark.django_db(transaction=True)
def test_a_worker_speaks_while_its_consumer_does_and_not_longer(worker: Part, redis_url: str) -> None:
    def of_worker() -> marks.Mark | None:
        found = [one for one in marks.read(redis_url) or () if one.pid == worker.pid]
        return next((one for one in found if marks.is_consuming(one, now=time.time())), None)

    said = wait_until(of_worker, 60, "it says that it takes tasks")
    assert (said.queues, said.processes) == (("pipelines", "replay"), 2)
    os.kill(worker.pid, signal.SIGSTOP)
    wait_until(lambda: of_worker() is None, marks.OLDEST_S + 5, "a hanging one is believed no longer")
    os.kill(worker.pid, signal.SIGCONT)
    wait_until(of_worker, 10, "it speaks again")
    worker.signal(signal.SIGTERM)
    worker.wait(25)
    assert marks.read(redis_url) == []
