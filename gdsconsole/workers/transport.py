"""Celery's way to Redis, made to outlive what Redis may answer and what may be in its keys.

kombu lets an error that it doesn't know end the worker, which is right for a bug of the worker and wrong for
what somebody left in a queue: the item is gone from the list already, so nothing is saved by the end of it.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from queue import Empty
from typing import Any

import kombu
import redis as redis_client
from celery.app.amqp import AMQP
from kombu.transport import TRANSPORT_ALIASES, redis
from kombu.utils.encoding import bytes_to_str

log = logging.getLogger(__name__)

# kombu waits up to 30 s between two tries to connect. What a worker does for the console is wanted sooner
# than that after Redis is back, and a try costs a refused connection.
LONGEST_WAIT_S = 2
TOLD_CHARACTERS = 200
# In one step: another process may make way at the same time, and put something there.
_DELETE_UNLESS = """
local held = redis.call('TYPE', KEYS[1]).ok
if held == ARGV[1] or held == 'none' then return false end
redis.call('DEL', KEYS[1])
return held
"""


class QoS(redis.QoS):
    """Messages that were handed out and aren't acknowledged yet."""

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:
        """One that can't be read is dropped, so that those after it are given back too."""
        try:
            super().restore_by_tag(tag, client, leftmost)
        except (ValueError, TypeError, LookupError) as error:
            log.error("unacked: dropped %s, which is no message: %s", told(tag), error)
            own: Any = self  # what isn't in the stubs
            own._remove_from_indices(tag).execute()


class Channel(redis.Channel):
    """`answered_at`: when the server last said what is in the queues, by `time.monotonic()`."""

    QoS = QoS
    answered_at: float | None = None

    def _brpop_read(self, **options: Any) -> Any:
        try:
            found = super()._brpop_read(**options)  # type: ignore[misc]  # not in the stubs
        except Empty:
            self.answered_at = time.monotonic()
            raise
        except redis_client.ResponseError as error:
            if not self._make_way(error):
                raise
            return True
        except ValueError as error:  # the item isn't JSON, or not UTF-8
            text = getattr(error, "doc", None) or getattr(error, "object", b"")
            log.error("dropped from a queue, because it is no message: %s: %s", told(text), error)
            found = True
        self.answered_at = time.monotonic()
        return found

    def _put(self, queue: str, message: Any, **options: Any) -> None:
        try:
            super()._put(queue, message, **options)
        except redis_client.ResponseError as error:
            if not self._make_way(error):
                raise
            super()._put(queue, message, **options)

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        try:
            super()._queue_bind(exchange, routing_key, pattern, queue)  # type: ignore[misc]
        except redis_client.ResponseError as error:
            if not self._make_way(error):
                raise
            super()._queue_bind(exchange, routing_key, pattern, queue)  # type: ignore[misc]

    def _make_way(self, error: redis_client.ResponseError) -> bool:
        """Delete what has a queue's name and can't be one; whether there was anything of that kind."""
        if "WRONGTYPE" not in str(error):
            return False
        made_way = False
        with self.conn_or_acquire() as client:
            for key, kind in self._own_keys():
                held = client.eval(_DELETE_UNLESS, 1, key, kind)
                if held:
                    log.error("deleted the key %s: it held a %s", told(key), bytes_to_str(held))
                    made_way = True
        return made_way

    def _own_keys(self) -> Iterator[tuple[str, str]]:
        own: Any = self
        for queue in own.state.queue_index:
            for priority in own.priority_steps:
                yield own._q_for_pri(queue, priority), "list"
        for exchange in {binding.exchange for binding in own.state.bindings}:
            yield own.keyprefix_queue % exchange, "set"
            yield own.keyprefix_binding_permanent % exchange, "set"
        yield own.keyprefix_binding_deadlines, "zset"
        yield own.unacked_key, "hash"
        yield own.unacked_index_key, "zset"
        yield own.unacked_mutex_key, "string"


class Transport(redis.Transport):
    Channel = Channel

    def _deliver(self, message: Any, queue: str | None) -> None:
        """Hand a message to its consumer; drop it, loudly, where it is none.

        Whatever fails here fails because of this message: what the connection does raises errors of its own.
        """
        try:
            super()._deliver(message, queue)
        except (redis_client.RedisError, OSError, MemoryError):
            raise
        except Exception as error:
            log.exception(
                "dropped from %s, because it is no task: %s: %s", queue, told(message), type(error).__name__
            )
            self._forget(message)

    def _forget(self, message: Any) -> None:
        """What was counted as handed out would keep others from coming for as long as the worker lives."""
        properties = message.get("properties") if isinstance(message, dict) else None
        tag = properties.get("delivery_tag") if isinstance(properties, dict) else None
        channels: list[Any] = self.channels or []
        for channel in channels:
            if isinstance(tag, str) and channel is not None and tag in channel.qos._delivered:
                channel.basic_ack(tag)


class Connection(kombu.Connection):
    """Tries again soon, however long Redis has been away."""

    def _ensure_connection(
        self,
        errback: Any = None,
        max_retries: int | None = None,
        interval_start: int = 2,
        interval_step: int = 2,
        interval_max: int = LONGEST_WAIT_S,
        *others: Any,
        **named: Any,
    ) -> Any:
        longest = min(interval_max, LONGEST_WAIT_S)
        return super()._ensure_connection(
            errback, max_retries, interval_start, interval_step, longest, *others, **named
        )


class PatientAMQP(AMQP):
    Connection = Connection


def install() -> None:
    """Make it what `redis://` and `rediss://` mean to kombu; before the first connection."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"


def told(item: object) -> str:
    """The beginning of something that may be anything, on one line."""
    text = item if isinstance(item, str) else repr(item)
    short = text if len(text) <= TOLD_CHARACTERS else f"{text[:TOLD_CHARACTERS]}…"
    return json.dumps(short)
