"""What each worker says of itself in Redis, once a second, from the loop that takes its tasks.

So a worker whose consumer hangs falls silent, however well its processes do; and no process of its pool has
to be free for it to speak, which a worker of pipelines has none of.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Annotated

import msgspec
import redis

from gdsconsole.redis_clients import redis_client

KEY = "gds:workers"
EVERY_S = 1.0
# A busy machine may delay a mark by seconds. The server answers whoever asks it for tasks once a second.
OLDEST_S = 10.0
OLDEST_ANSWER_S = 5.0
FORGOTTEN_AFTER_S = 3_600.0


class Mark(msgspec.Struct, frozen=True):
    """One worker at the time `at` (epoch seconds).

    `queues` are those it takes tasks from, with `processes` to run them in; `answered_s` is how long before
    `at` Redis last told it what is there, None for never.
    """

    name: str
    host: str
    pid: int
    queues: tuple[str, ...]
    processes: Annotated[int, msgspec.Meta(ge=0, le=10_000)]
    answered_s: float | None
    at: float


def write(url: str, mark: Mark) -> None:
    """Keep it as the newest of this worker. Raises redis.RedisError."""
    client = _client(url)
    encoded = msgspec.json.encode(mark)
    try:
        client.hset(KEY, mark.name, encoded)
    except redis.ResponseError as error:
        if "WRONGTYPE" not in str(error):
            raise
        client.delete(KEY)
        client.hset(KEY, mark.name, encoded)


def forget(url: str, names: Sequence[str]) -> None:
    """Of workers that ended. Raises redis.RedisError."""
    if names:
        _client(url).hdel(KEY, *names)


def read(url: str) -> list[Mark] | None:
    """The newest mark of every worker, old ones too; None where Redis doesn't say."""
    try:
        kept = _client(url).hvals(KEY)
    except redis.RedisError:
        return None
    found = (_decoded(item) for item in kept)
    return sorted((mark for mark in found if mark is not None), key=lambda mark: mark.name)


def takes_writes(url: str) -> bool:
    """Whether Redis answers and takes writes; where it does not, no worker can be blamed for its silence."""
    try:
        _client(url).set(f"{KEY}:probe", "1", ex=60)
    except redis.RedisError:
        return False
    return True


def consuming(marks: Iterable[Mark], queue: str, *, now: float) -> list[Mark]:
    """Those that take tasks from this queue. Pure."""
    return [mark for mark in marks if queue in mark.queues and is_consuming(mark, now=now)]


def is_consuming(mark: Mark, *, now: float) -> bool:
    fresh = abs(now - mark.at) <= OLDEST_S
    return fresh and mark.answered_s is not None and mark.answered_s <= OLDEST_ANSWER_S


def processes(marks: Iterable[Mark] | None, queue: str, *, now: float) -> int | None:
    """How many processes there are for the tasks of a queue; None where no worker says so. Pure."""
    found = consuming(marks or (), queue, now=now)
    return sum(mark.processes for mark in found) if found else None


def forgotten(marks: Iterable[Mark], *, now: float) -> list[str]:
    """Names of workers that are gone for good. Pure."""
    return [mark.name for mark in marks if abs(now - mark.at) > FORGOTTEN_AFTER_S]


def _decoded(item: object) -> Mark | None:
    try:
        return msgspec.json.decode(item, type=Mark) if isinstance(item, bytes) else None
    except (msgspec.DecodeError, ValueError):
        return None


@cache
def _client(url: str) -> redis.Redis:
    return redis_client(url=url, timeout_s=1)
