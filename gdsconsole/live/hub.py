"""The live side of a web process: one Redis subscription, however many sockets.

What all publishers send is merged, newest by key, and handed to the sockets as one frame at most every
250 ms; sockets with the same permissions get the same text. A channel layer is not used: a `group_send`
to every socket costs several times more, and the Redis layer drops silently at its capacity.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable
from typing import Protocol
from weakref import WeakKeyDictionary

import msgspec
import redis
import redis.asyncio
from channels.db import database_sync_to_async
from django.conf import settings

from gdsconsole.database.outages import Cause, outage_of
from gdsconsole.live import events, schemas
from gdsconsole.live.authorization import Grant, grant_of
from gdsconsole.live.frames import OutFrame, visible
from gdsconsole.live.publish import Event, Frame
from gdsconsole.live.sockets import Socket
from gdsconsole.redis_clients import listening_client
from gdsconsole.service_addresses import without_password

logger = logging.getLogger(__name__)

INTERVAL_S = 0.25
HEARTBEAT_S = 5.0
RECHECK_S = 10.0
SILENT_S = 6.0
ANSWER_S = 2.0
PROBE = "gds:live:probe"
RETRY_S = (0.25, 5.0)
# A frame's time further off is no time: pages would take theirs from it.
CLOCKS_APART_S = 86_400.0
# Close codes that socket.js knows: log in again; no permission left; ask again who you are; too many sockets
# of one user.
LOGGED_OUT = 4401
FORBIDDEN = 4403
ASK_AGAIN = 4408
TOO_MANY = 4429

_decoder = msgspec.json.Decoder(Frame)


class Subscription(Protocol):
    """Frames of other processes. `read()` waits up to a second, raises `redis.RedisError` or `OSError`."""

    async def read(self) -> bytes | None: ...
    async def close(self) -> None: ...


class RedisSubscription:
    """One connection to Redis, subscribed when it is first read.

    A subscription only listens, so a Redis that hangs would go unnoticed, and one that takes no writes too,
    to which nobody can publish: after 2 s of silence it is asked for an answer and written to, and given up
    after 6 s.
    """

    def __init__(self, url: str) -> None:
        self._client = listening_client(url=url, connect_timeout_s=2)
        self._pubsub = self._client.pubsub()
        self._heard_at: float | None = None

    async def read(self) -> bytes | None:
        if self._heard_at is None:
            await self._pubsub.subscribe(events.channel())
            await self._require_writes()
            # The answer to the subscription: until it is here, what is published is not heard.
            if await self._pubsub.get_message(timeout=2) is None:
                raise redis.TimeoutError("no answer to the subscription")
            self._heard_at = time.monotonic()
            return None
        message = await self._pubsub.get_message(timeout=1)
        if message is not None:
            self._heard_at = time.monotonic()
            return message["data"] if message["type"] == "message" else None
        silent_s = time.monotonic() - self._heard_at
        if silent_s > SILENT_S:
            raise redis.TimeoutError(f"silent for {silent_s:.0f} s")
        if silent_s > SILENT_S / 3:
            await self._pubsub.ping()
            await self._require_writes()
        return None

    async def _require_writes(self) -> None:
        await asyncio.wait_for(self._client.set(PROBE, "1", ex=60), ANSWER_S)

    async def close(self) -> None:
        await self._pubsub.aclose()  # type: ignore[no-untyped-call]
        await self._client.aclose()


class Hub:
    """Sockets of one event loop. The loops of `run()` are thin; tests call the steps."""

    def __init__(
        self,
        subscribe: Callable[[], Subscription],
        *,
        grants: Callable[[str], Grant | None] = grant_of,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        interval_s: float = INTERVAL_S,
    ) -> None:
        self.sockets: set[Socket] = set()
        self.live = False
        self._subscribe = subscribe
        self._grants = grants
        self._clock = clock
        self._wall = wall
        self._interval_s = interval_s
        self._merged: dict[tuple[str, str], Event] = {}
        self._newest_at = 0.0
        self._gap = False
        self._said_live = False
        self._seq = 0
        self._last_flush = float("-inf")
        self._something = asyncio.Event()
        self._recheck_users: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []

    def join(self, session_key: str, grant: Grant) -> Socket | None:
        """A new socket; its first frame says whether Redis answers. The first starts the subscription.

        None where the user has as many in this process as one may have (GDS_SOCKETS_PER_USER).
        """
        theirs = sum(1 for one in self.sockets if one.grant.user_id == grant.user_id)
        if theirs >= settings.GDS_SOCKETS_PER_USER:
            return None
        socket = Socket(session_key, grant, now=self._clock())
        self.sockets.add(socket)
        socket.offer(OutFrame(self._seq, self._wall(), False, self.live, []))
        if not self._tasks:
            loops = (self._listen, self._deliver, self._supervise)
            self._tasks = [asyncio.create_task(loop(), name=f"live-{loop.__name__}") for loop in loops]
        return socket

    def leave(self, socket: Socket) -> None:
        """Forget a socket; the last one ends the subscription."""
        self.sockets.discard(socket)
        if not self.sockets:
            self.stop()

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._tasks = []
        self.live = False

    def take(self, frame: Frame) -> None:
        """Merge a process' frame into what the sockets get next."""
        for event in frame.events:
            if event.type == events.ACCESS_CHANGED:
                self._access_changed(event)
            else:
                self._merged[event.type, event.key] = event
        self._newest_at = max(self._newest_at, frame.at)
        self._gap = self._gap or frame.gap
        if self._merged or self._gap:
            self._something.set()

    def set_live(self, live: bool) -> None:
        """Redis answers, or doesn't any more; the sockets hear of a change at once."""
        if live != self.live:
            self.live = live
            # Whatever was published while nobody listened is missing.
            self._gap = self._gap or live
            self._something.set()
            self._last_flush = float("-inf")

    def due_in(self) -> float:
        """Seconds until the next frame may go."""
        return max(0.0, self._last_flush + self._interval_s - self._clock())

    def flush(self) -> None:
        """Hand what was merged to the sockets, as one text for all with the same permissions."""
        found, self._merged = list(self._merged.values()), {}
        gap, self._gap = self._gap, False
        changed, self._said_live = self.live != self._said_live, self.live
        self._something.clear()
        self._seq += 1
        self._last_flush = self._clock()
        at = self._newest_at if found else self._wall()
        made: dict[frozenset[str], OutFrame] = {}
        for socket in self.sockets:
            allowed = socket.grant.allowed
            if allowed not in made:
                made[allowed] = OutFrame(self._seq, at, gap, self.live, visible(found, allowed))
            frame = made[allowed]
            # News of types that a socket may not see is no news for it, but it must hear that the line lives.
            if (
                frame.events
                or gap
                or changed
                or self._last_flush - socket.offered_at >= HEARTBEAT_S - INTERVAL_S
            ):
                socket.offer(frame)
                socket.offered_at = self._last_flush

    async def recheck(self, *, everybody: bool = False) -> None:
        """Ask again who is behind each socket whose last check is 10 s old, or whose access changed."""
        now = self._clock()
        users, self._recheck_users = self._recheck_users, set()
        due = [
            socket
            for socket in self.sockets
            if everybody
            or "*" in users
            or socket.grant.user_id in users
            or now - socket.checked_at >= RECHECK_S
        ]
        try:
            grants = await self._grants_of({socket.session_key for socket in due})
        except BaseException:
            self._recheck_users |= users
            raise
        for socket in due:
            socket.checked_at = now
            self._apply(socket, grants[socket.session_key])

    async def _grants_of(self, session_keys: Iterable[str]) -> dict[str, Grant | None]:
        # One trip to the thread that holds the database connection, however many sockets.
        def ask() -> dict[str, Grant | None]:
            return {key: self._grants(key) for key in session_keys}

        # Its connection is looked after as a request's is: one that broke would never be made anew.
        grants: dict[str, Grant | None] = await database_sync_to_async(ask)()
        return grants

    def _apply(self, socket: Socket, grant: Grant | None) -> None:
        if grant is None:
            socket.close(LOGGED_OUT)
        elif not grant.allowed:
            socket.close(FORBIDDEN)
        elif grant != socket.grant:
            # The page was rendered with other permissions: it must be read again.
            socket.grant = grant
            socket.offer(OutFrame(self._seq, self._wall(), True, self.live, []))

    def _access_changed(self, event: Event) -> None:
        self._recheck_users.add(event.key)

    async def _listen(self) -> None:
        failures = 0
        while True:
            subscription = self._subscribe()
            try:
                while True:
                    message = await subscription.read()
                    self.set_live(True)
                    failures = 0
                    if message is not None:
                        self._take_encoded(message)
            except (redis.RedisError, OSError) as error:
                if not failures:
                    logger.warning("Redis at %s is away, pages poll: %s", _address(), error)
                failures += 1
                self.set_live(False)
            finally:
                await _close_quietly(subscription)
            await asyncio.sleep(min(RETRY_S[0] * 2 ** min(failures - 1, 10), RETRY_S[1]))

    def _take_encoded(self, message: bytes) -> None:
        """Take what is a frame, and of it the events that look as they should: anybody may publish."""
        place = events.channel()
        try:
            frame = _decoder.decode(message)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            logger.error("a frame on %s is not ours: %s", place, error)
            return
        found = []
        for event in frame.events:
            try:
                if event.type in events.EVENT_TYPES:
                    schemas.check(event.type, msgspec.json.decode(event.data))
                found.append(event)
            except (schemas.Unreadable, msgspec.DecodeError, RecursionError) as error:
                schemas.told.unreadable(f"{place} {event.type}", error)
        now = self._wall()
        is_odd = abs(frame.at - now) > CLOCKS_APART_S
        self.take(msgspec.structs.replace(frame, events=found, at=now if is_odd else frame.at))

    async def _deliver(self) -> None:
        while True:
            # Nothing new for a while: an empty frame tells the page that the line is alive.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._something.wait(), HEARTBEAT_S)
            await asyncio.sleep(self.due_in())
            self.flush()

    async def _supervise(self) -> None:
        told: Cause | None = None
        while True:
            await asyncio.sleep(1)
            try:
                await self.recheck()
                told = None
            except Exception as error:
                # Without an answer from the database nobody's permission is known: it is asked again,
                # and who can't be checked in time is not served.
                outage = outage_of(error)
                if outage is None:
                    logger.exception("sockets could not be checked")
                elif outage.cause is not told:
                    logger.warning("sockets can't be checked: %s", outage.line)
                    told = outage.cause
                self.close_unchecked()

    def close_unchecked(self) -> None:
        """Close sockets whose last successful check is too old to go by."""
        now = self._clock()
        for socket in self.sockets:
            if now - socket.checked_at >= RECHECK_S + 4:
                socket.close(ASK_AGAIN)


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def current_hub() -> Hub:
    """The hub of the running event loop: one for a web process."""
    loop = asyncio.get_running_loop()
    hub = _hubs.get(loop)
    if hub is None:
        hub = _hubs[loop] = Hub(lambda: RedisSubscription(settings.REDIS_URL))
    return hub


async def _close_quietly(subscription: Subscription) -> None:
    try:
        await subscription.close()
    except (redis.RedisError, OSError):
        return


def _address() -> str:
    return without_password(settings.REDIS_URL)
