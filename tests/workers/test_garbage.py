"""A real worker, with everything in its queues and keys that does not belong there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from kombu import Connection
from kombu.exceptions import OperationalError

from gdsconsole.celery import app
from gdsconsole.workers import transport
from tests.integration.processes import Part, Parts, console_parts
from tests.waiting import wait_until

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]

QUEUES = [queue.name for queue in app.conf.task_queues]
KEYS = [
    "unacked",
    "unacked_index",
    "unacked_mutex",
    "_kombu.binding.default",
    "_kombu.binding_permanent.default",
]


def envelope(**fields: Any) -> bytes:
    properties = {
        "delivery_tag": "a-tag",
        "body_encoding": "base64",
        "delivery_info": {"exchange": "", "routing_key": "default"},
    }
    message = {
        "body": "W10=",
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"task": "gdsconsole.heartbeat", "id": "an-id"},
        "properties": properties,
    }
    return json.dumps({**message, **fields}).encode()


GARBAGE = [
    b"garbage not json",
    b"\xff\xfe\x00",
    b"[]",
    b"null",
    b"7",
    b'"text"',
    b"{}",
    b'{"properties": {}}',
    b'{"properties": []}',
    envelope(properties={"delivery_tag": None, "delivery_info": {}}),
    envelope(properties={"delivery_tag": "a-tag", "delivery_info": {}}),
    envelope(body="!!"),
    envelope(headers=7),
    envelope(headers={"task": ["unhashable"]}),
    envelope(headers={"task": "gdsconsole.heartbeat"}),
    envelope(headers={"task": "nobody.knows.it", "id": "an-id"}),
    envelope(headers={"task": "gdsconsole.heartbeat", "id": "an-id", "eta": 7, "timelimit": "long"}),
    envelope(**{"content-type": "application/x-python-serialize"}),
    envelope(**{"content-type": "application/octet-stream", "content-encoding": "binary"}),
]


@pytest.fixture
def worker(
    redis_url: str, subprocess_environment: dict[str, str], tmp_path: Path
) -> Iterator[tuple[Part, redis.Redis]]:
    """One worker of all queues, and a client of the Redis it reads them from."""
    with console_parts(subprocess_environment, tmp_path) as parts, redis.Redis.from_url(redis_url) as client:
        started: Parts = parts
        one = started.worker(concurrency=1, queues=",".join(QUEUES))
        wait_until(lambda: " ready." in one.said(), 60, "the worker is ready")
        yield one, client


def works(client: redis.Redis, queue: str) -> None:
    """A task that is sent to this queue now is run."""
    client.delete("gds:heartbeat")
    app.send_task("gdsconsole.heartbeat", queue=queue)
    wait_until(lambda: client.exists("gds:heartbeat"), 20, f"a task of {queue} is run")


def test_garbage_in_queues_and_keys_is_dropped_and_said(worker: tuple[Part, redis.Redis]) -> None:
    part, client = worker
    for queue in QUEUES:
        for item in GARBAGE:
            client.lpush(queue, item)
        client.lpush(f"{queue}\x06\x163", b"garbage of a priority")
        client.publish("/0.celery.pidbox", b"{}")
    for queue in QUEUES:
        works(client, queue)
    # With anything of it counted as handed out, a worker of few processes would soon take nothing more.
    wait_until(lambda: not client.exists("unacked"), 10, "nothing is counted as handed out")
    assert 'dropped from a queue, because it is no message: "garbage not json"' in part.said()
    assert len(re.findall("dropped from default, because it is no task", part.said())) >= 8
    for key in [*QUEUES, *KEYS]:
        client.delete(key)
        client.set(key, "x") if key == "unacked" else client.hset(key, "a", "b")
    for queue in QUEUES:
        works(client, queue)
    # Whoever comes upon one first makes way, this test's own sender among them.
    wait_until(lambda: not client.exists("unacked", "unacked_index"), 10, "nothing else is there")
    assert part.process.poll() is None


@contextmanager
def refusing(client: redis.Redis, how: str) -> Iterator[None]:
    """Redis answers, and takes no writes: what a failover, a full disk and a full memory look like."""
    if how == "READONLY":
        client.replicaof("127.0.0.1", "1")
    else:
        client.config_set(how, 1)
    try:
        yield
    finally:
        if how == "READONLY":
            client.replicaof("NO", "ONE")
        else:
            client.config_set(how, 0)


def test_a_worker_outlives_refusals_and_is_quick_to_come_back(worker: tuple[Part, redis.Redis]) -> None:
    part, client = worker
    for how, said in (("min-replicas-to-write", "NOREPLICAS"), ("READONLY", "read only replica")):
        with refusing(client, how):
            wait_until(lambda said=said: part.said().count(said) >= 4, 20, "it tried several times")
        works(client, "pipelines")
    # Memory that is full refuses what is sent, and keeps nobody from taking what is there.
    with refusing(client, "maxmemory"), pytest.raises(OperationalError):
        app.send_task("gdsconsole.heartbeat", queue="default", retry=False)
    works(client, "default")
    assert part.process.poll() is None


def test_unacked_garbage_keeps_no_message_from_being_given_back(redis_url: str) -> None:
    with Connection(redis_url) as connection, redis.Redis.from_url(redis_url) as client:
        channel: Any = connection.default_channel
        assert isinstance(channel, transport.Channel)
        good = json.dumps([json.loads(envelope()), "", "default"])
        client.hset("unacked", mapping={"bad": "no json", "worse": "[1]", "good": good})
        client.zadd("unacked_index", {"bad": 1, "worse": 2, "good": 3, "gone": 4})
        channel.qos.restore_visible()
        assert not client.exists("unacked")
        assert not client.exists("unacked_index")
        assert client.llen("default") == 1


def test_however_long_redis_was_away_the_next_try_is_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    def stop_after_five(error: Exception, interval: float) -> None:
        waits.append(interval)
        if len(waits) == 5:
            raise StopIteration

    monkeypatch.setattr("kombu.utils.functional.sleep", lambda _: None)
    with app.connection_for_read("redis://127.0.0.1:1/0") as connection, pytest.raises(StopIteration):
        connection.ensure_connection(stop_after_five)
    assert max(waits) == transport.LONGEST_WAIT_S
