"""One sample a tick, however many beats send tasks and however long a sample takes."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

import redis
from django.conf import settings

from gdsconsole.live.snapshots import client

logger = logging.getLogger(__name__)

# Of a tick: a task that comes a little early is the next tick's, one of a second beat is not.
_SHARE = 0.8
# A tick that is held ends by itself; what stands in its place without an end, or for longer, holds nothing.
_TAKE = """
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
local left = redis.call('PTTL', KEYS[1])
if left >= 0 and left <= tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_KEEP_IF_MINE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
"""


@contextmanager
def tick(name: str, *, every_s: float, longest_s: float) -> Iterator[bool]:
    """Whether this tick of `name` is the caller's; False while another's runs, or has just run.

    A process that dies in it holds the name for `longest_s` from its start. Without Redis nobody knows,
    so nobody samples: the tasks come through Redis themselves.
    """
    key, mine = f"{settings.GDS_ORGANIZATION}:lag:tick:{name}", uuid.uuid4().hex
    started = monotonic()
    try:
        is_mine = bool(client().eval(_TAKE, 1, key, mine, int(longest_s * 1000)))
    except (redis.RedisError, OSError) as error:
        logger.warning("no sample of %s: Redis does not answer: %s", name, error)
        is_mine = False
    try:
        yield is_mine
    finally:
        if is_mine:
            left_ms = int((every_s * _SHARE - (monotonic() - started)) * 1000)
            try:
                # Zero or less deletes it.
                client().eval(_KEEP_IF_MINE, 1, key, mine, left_ms)
            except (redis.RedisError, OSError) as error:
                logger.warning("%s is held for up to %g s: Redis does not answer: %s", name, longest_s, error)
