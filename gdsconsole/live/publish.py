"""Telling open pages what changed: `publish()`, from any process and any thread.

It never raises and never waits: what it is given waits in memory, the newest for each key, and a
thread of this process sends it as one frame, by one Redis call, at most every 250 ms however often
`publish()` is called. The same call keeps the newest data by key in Redis, for pages to read over
HTTP. While Redis is away the newest data keeps waiting, up to a bound.

Delivery is at most once and that is enough: the page reads the truth over HTTP.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import msgspec
import redis
from django.conf import settings
from django.db import transaction
from redis.client import Pipeline

from gdsconsole.live import events
from gdsconsole.redis_clients import redis_client
from gdsconsole.service_addresses import without_password

logger = logging.getLogger(__name__)

INTERVAL_S = 0.25
MAX_WAITING = 5_000
FRAME_EVENTS = 1_000
KEPT_S = 86_400
RETRY_S = (0.5, 5.0)
HISTORY_EVERY_S = 5
HISTORY_POINTS = 180
# What is sampled every 5 s comes a little early now and then, and is kept all the same.
HISTORY_EARLY_S = 0.5

# KEYS: channel, then a hash and a sorted set for each type.
# ARGV: frame, seconds kept, now, then for each type: bound, how many pairs, key, data, key, data...
# What stands in their place and is none of ours goes: nobody could ever write there again.
_SEND = """
local function keep(key, kind)
  local is = redis.call('TYPE', key)['ok']
  if is ~= kind and is ~= 'none' then redis.call('DEL', key) end
end
local at = 4
for i = 2, #KEYS, 2 do
  local newest, order = KEYS[i], KEYS[i + 1]
  keep(newest, 'hash')
  keep(order, 'zset')
  local bound, pairs = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  at = at + 2
  for _ = 1, pairs do
    redis.call('HSET', newest, ARGV[at], ARGV[at + 1])
    redis.call('ZADD', order, ARGV[3], ARGV[at])
    at = at + 2
  end
  local over = redis.call('ZCARD', order) - bound
  if over > 0 then
    for _, field in ipairs(redis.call('ZRANGE', order, 0, over - 1)) do redis.call('HDEL', newest, field) end
    redis.call('ZREMRANGEBYRANK', order, 0, over - 1)
  end
  if redis.call('HLEN', newest) ~= redis.call('ZCARD', order) then
    for _, field in ipairs(redis.call('HKEYS', newest)) do
      if not redis.call('ZSCORE', order, field) then redis.call('HDEL', newest, field) end
    end
  end
  redis.call('EXPIRE', newest, ARGV[2])
  redis.call('EXPIRE', order, ARGV[2])
end
return redis.call('PUBLISH', KEYS[1], ARGV[1])
"""


class Event(msgspec.Struct, frozen=True):
    """One event of a frame; `data` is the publisher's dict, encoded."""

    type: str
    key: str
    data: msgspec.Raw


class Frame(msgspec.Struct, frozen=True):
    """What one process published at `at` (epoch seconds). `gap`: something was dropped before it."""

    at: float
    events: list[Event]
    gap: bool = False


class FrameSender(Protocol):
    """Delivers a frame to every web process; raises `redis.RedisError` or `OSError` if it can't."""

    def __call__(self, frame: Frame, /) -> None: ...


class RedisSender:
    """Sends by one script call. Not shared between processes: the publisher makes one for each."""

    def __init__(self, url: str) -> None:
        self._client = redis_client(url=url, timeout_s=2, health_check_interval_s=30)
        self._script = self._client.register_script(_SEND)
        self._kept_at: dict[tuple[str, str], float] = {}

    def __call__(self, frame: Frame) -> None:
        by_type: dict[str, list[Event]] = {}
        for event in frame.events:
            if event.type in events.EVENT_TYPES:
                by_type.setdefault(event.type, []).append(event)
        keys = [events.channel()]
        arguments: list[bytes | str | int | float] = [msgspec.json.encode(frame), KEPT_S, frame.at]
        for name, found in by_type.items():
            keys += [events.newest_key(name), events.order_key(name)]
            arguments += [events.EVENT_TYPES[name].kept, len(found)]
            for event in found:
                arguments += [event.key, b'{"at":%f,"data":%s}' % (frame.at, bytes(event.data))]
        with self._client.pipeline(transaction=False) as pipe:
            self._script(keys=keys, args=arguments, client=pipe)
            keys = self._keep_history(frame, pipe)
            answers = pipe.execute(raise_on_error=False)
        self._judge(answers, keys)

    def _judge(self, answers: Sequence[Any], histories: Sequence[str]) -> None:
        """Raise what failed; a history where something else stands is begun anew."""
        for answer, key in zip(answers, ["", *histories], strict=True):
            if isinstance(answer, redis.ResponseError) and key and str(answer).startswith("WRONGTYPE"):
                logger.warning("Redis key %s held something else and is deleted", key)
                self._client.delete(key)
            elif isinstance(answer, Exception):
                raise answer

    def _keep_history(self, frame: Frame, pipe: Pipeline) -> list[str]:
        """Queue the commands; the key of each."""
        keys = []
        for event in frame.events:
            fields = events.EVENT_TYPES[event.type].history if event.type in events.EVENT_TYPES else ()
            since = frame.at - self._kept_at.get((event.type, event.key), 0)
            if not fields or since < HISTORY_EVERY_S - HISTORY_EARLY_S:
                continue
            self._kept_at[event.type, event.key] = frame.at
            data = msgspec.json.decode(event.data)
            key = events.history_key(event.type, event.key)
            pipe.rpush(key, msgspec.json.encode([frame.at, *(data.get(field) for field in fields)]))
            pipe.ltrim(key, -HISTORY_POINTS, -1)
            pipe.expire(key, HISTORY_POINTS * HISTORY_EVERY_S)
            keys += [key] * 3
        return keys


class Publisher:
    """The waiting events of one process and the step that sends them.

    `offer()` is called by anyone; `step()` by the one thread that `start()` makes, or by a test.
    """

    def __init__(
        self,
        make_sender: Callable[[], FrameSender],
        *,
        interval_s: float = INTERVAL_S,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._make_sender = make_sender
        self._sender: FrameSender | None = None
        self._interval_s = interval_s
        self._clock = clock
        self._wall = wall
        self._waiting: dict[tuple[str, str], Mapping[str, Any]] = {}
        self._dropped = False
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._something = threading.Event()
        self._thread: threading.Thread | None = None
        self._next_at = 0.0
        self._failures = 0

    def offer(self, event_type: str, key: str, data: Mapping[str, Any]) -> None:
        """Keep as the newest of its key; the caller changes `data` no more."""
        with self._lock:
            if len(self._waiting) >= MAX_WAITING and (event_type, key) not in self._waiting:
                self._waiting.pop(next(iter(self._waiting)))
                self._dropped = True
            self._waiting[event_type, key] = data
        self._something.set()

    def start(self) -> None:
        """Start the sending thread, once."""
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="live-publisher", daemon=True)
                    self._thread.start()

    def due_in(self) -> float:
        """Seconds until the next frame may go."""
        return max(0.0, self._next_at - self._clock())

    def step(self) -> int:
        """Send what waits, if a frame is due; return how many events went. Raises nothing."""
        return self._send_waiting() if self.due_in() <= 0 else 0

    def flush(self) -> None:
        """Send what waits now, due or not: the process ends."""
        self._send_waiting()

    def _send_waiting(self) -> int:
        """Send one frame of what waits, after the one that is being sent; return how many events went."""
        with self._sending:
            with self._lock:
                chosen = [(name, self._waiting.pop(name)) for name in list(self._waiting)[:FRAME_EVENTS]]
                dropped, self._dropped = self._dropped, False
                if not self._waiting:
                    self._something.clear()
            if not chosen:
                return 0
            return self._send(chosen, dropped)

    def _send(self, chosen: list[tuple[tuple[str, str], Mapping[str, Any]]], dropped: bool) -> int:
        frame = Frame(self._wall(), [found for found in map(_encoded, chosen) if found], dropped)
        try:
            if self._sender is None:
                self._sender = self._make_sender()
            self._sender(frame)
        except (redis.RedisError, OSError) as error:
            if not self._failures:
                logger.warning("Redis at %s is away, pages poll: %s", _address(), error)
            self._failures += 1
            self._sender = None
            self._next_at = self._clock() + min(RETRY_S[0] * 2 ** min(self._failures - 1, 10), RETRY_S[1])
            with self._lock:
                # What came meanwhile is newer.
                self._waiting = dict(chosen) | self._waiting
                self._dropped = self._dropped or dropped
            self._something.set()
            return 0
        if self._failures:
            logger.warning("Redis at %s is back", _address())
        self._failures = 0
        self._next_at = self._clock() + self._interval_s
        return len(frame.events)

    def _run(self) -> None:
        while True:
            self._something.wait()
            time.sleep(self.due_in())
            try:
                self.step()
            except Exception:
                # Pages must not be able to stop a pipeline's process, nor be stopped for good by one frame.
                logger.exception("a live frame could not be sent")
                self._next_at = self._clock() + RETRY_S[1]


def publish(event_type: str, key: str, data: Mapping[str, Any]) -> None:
    """Tell open pages the newest `data` of `key`. Never raises, never waits.

    `data` is JSON-able (datetimes become RFC 3339) and isn't changed by the caller afterwards.
    """
    if event_type not in events.EVENT_TYPES and event_type != events.ACCESS_CHANGED:
        logger.error("live event type %r is not in events.py and was not published", event_type)
        return
    publisher = _publisher()
    publisher.offer(event_type, key, data)
    publisher.start()


def publish_on_commit(event_type: str, key: str, data: Mapping[str, Any]) -> None:
    """`publish()` when the current transaction commits, or at once outside of one."""
    transaction.on_commit(partial(publish, event_type, key, data))


def flush() -> None:
    """Send what waits before the process ends; at most a few seconds when Redis hangs."""
    if _current is not None and _current_pid == os.getpid():
        _current.flush()


_current: Publisher | None = None
_current_pid = 0
_making = threading.Lock()


def _publisher() -> Publisher:
    global _current, _current_pid
    if _current is None or _current_pid != os.getpid():
        with _making:
            if _current is None or _current_pid != os.getpid():
                _current, _current_pid = Publisher(lambda: RedisSender(settings.REDIS_URL)), os.getpid()
    return _current


def _forget() -> None:
    """A forked child starts anew: its parent's thread isn't there, its locks may be held for ever."""
    global _current, _making
    _current, _making = None, threading.Lock()


def _encoded(item: tuple[tuple[str, str], Mapping[str, Any]]) -> Event | None:
    (event_type, key), data = item
    try:
        return Event(event_type, key, msgspec.Raw(msgspec.json.encode(data)))
    except (TypeError, ValueError, RecursionError) as error:
        logger.error("live event %s %s can't be written as JSON: %s", event_type, key, error)
        return None


def _address() -> str:
    """Redis' address without its password."""
    return without_password(settings.REDIS_URL)


os.register_at_fork(after_in_child=_forget)
atexit.register(flush)
