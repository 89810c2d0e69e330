"""The newest published data, read over HTTP: what a page shows before its first frame."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import msgspec
import redis
from django.conf import settings

from gdsconsole.live import events

Snapshot = dict[str, dict[str, Any]]


class _Kept(msgspec.Struct):
    at: float
    data: dict[str, Any]


_decoder = msgspec.json.Decoder(_Kept)
_clients: dict[tuple[int, str], redis.Redis] = {}


def latest(event_type: str) -> Snapshot | None:
    """Newest data by key, each with `published_at` (epoch seconds); None when Redis doesn't answer."""
    return latest_of([event_type])[event_type]


def latest_of(event_types: Sequence[str]) -> dict[str, Snapshot | None]:
    """`latest()` of several types by one round trip."""
    pipe = client().pipeline(transaction=False)
    for event_type in event_types:
        pipe.hgetall(events.newest_key(event_type))
    try:
        answers = pipe.execute()
    except (redis.RedisError, OSError):
        return dict.fromkeys(event_types, None)
    return {name: _decoded(answer) for name, answer in zip(event_types, answers, strict=True)}


def _decoded(answer: dict[bytes, bytes]) -> Snapshot:
    found: Snapshot = {}
    for key, value in answer.items():
        kept = _decoder.decode(value)
        found[key.decode()] = kept.data | {"published_at": kept.at}
    return found


def client() -> redis.Redis:
    """One client a process and address: a forked child must not write on its parent's connection."""
    name = (os.getpid(), settings.REDIS_URL)
    if name not in _clients:
        _clients[name] = redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=0.5, socket_connect_timeout=0.5, max_connections=32
        )
    return _clients[name]
