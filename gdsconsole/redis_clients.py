"""The clients of Redis, every one of them bounded in time: a server that hangs must not hang its callers.

TLS, password and database are those of the address (`rediss://`, env.py). A client is made without a
connection; the first command opens one. None tries again by itself: its caller knows what to do instead,
and whether a person waits.
"""

from __future__ import annotations

import redis
import redis.asyncio
from django.conf import settings
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry


def redis_client(
    *,
    timeout_s: float,
    url: str = "",
    decode_responses: bool = False,
    health_check_interval_s: int = 0,
    max_connections: int | None = None,
) -> redis.Redis:
    """Connecting, and each answer, may take `timeout_s`; `url` is another one than `REDIS_URL`.

    Not to be shared with a forked child.
    """
    return redis.Redis.from_url(
        url or settings.REDIS_URL,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        decode_responses=decode_responses,
        health_check_interval=health_check_interval_s,
        max_connections=max_connections,
    )


def listening_client(*, connect_timeout_s: float, url: str = "") -> redis.asyncio.Redis:
    """For a subscription, whose answers take as long as nothing is published: its reader bounds them.

    It must see a lost connection, because messages were lost with it.
    """
    return redis.asyncio.Redis.from_url(
        url or settings.REDIS_URL,
        socket_connect_timeout=connect_timeout_s,
        retry=AsyncRetry(NoBackoff(), 0),
    )
