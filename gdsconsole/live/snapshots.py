"""The newest published data, read over HTTP: what a page shows before its first frame."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import redis
from django.conf import settings

from gdsconsole.live import events, schemas
from gdsconsole.redis_clients import redis_client

Snapshot = dict[str, dict[str, Any]]


_clients: dict[tuple[int, str], redis.Redis] = {}


def latest(event_type: str) -> Snapshot | None:
    """Newest data by key, each with `published_at` (epoch seconds), as `shapes` says it looks.

    None when Redis doesn't answer, or holds something else in that place; what can't be read of the rest
    is left out.
    """
    return latest_of([event_type])[event_type]


def latest_of(event_types: Sequence[str]) -> dict[str, Snapshot | None]:
    """`latest()` of several types by one round trip."""
    pipe = client().pipeline(transaction=False)
    for event_type in event_types:
        pipe.hgetall(events.newest_key(event_type))
    try:
        answers = pipe.execute(raise_on_error=False)
    except (redis.RedisError, OSError):
        return dict.fromkeys(event_types, None)
    return {name: _read(name, answer) for name, answer in zip(event_types, answers, strict=True)}


def _read(event_type: str, answer: dict[bytes, bytes] | Exception) -> Snapshot | None:
    place = events.newest_key(event_type)
    if isinstance(answer, Exception):
        schemas.told.unreadable(place, answer)
        return None
    found: Snapshot = {}
    wrong: list[str] = []
    for key, value in answer.items():
        try:
            found[key.decode()] = schemas.kept(event_type, value)
        except (schemas.Unreadable, UnicodeDecodeError) as error:
            wrong.append(f"{key[:80]!r}: {error}")
    if wrong:
        schemas.told.unreadable(place, f"{len(wrong)} of {len(answer)} values, such as {wrong[0]}")
    else:
        schemas.told.readable(place)
    return found


def client() -> redis.Redis:
    """One client a process and address: a forked child must not write on its parent's connection."""
    name = (os.getpid(), settings.REDIS_URL)
    if name not in _clients:
        _clients[name] = redis_client(timeout_s=0.5, max_connections=32)
    return _clients[name]
