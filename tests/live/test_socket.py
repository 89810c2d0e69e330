"""The socket as a browser sees it: a real server, a real Redis, real connections."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec
import pytest
import redis
import uvicorn
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import OperationalError
from django.test import Client
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gdsconsole.devstack import ports
from gdsconsole.live import events, hub
from gdsconsole.live.consumers import MESSAGE_TOO_BIG, TRY_LATER
from gdsconsole.live.limits import MOST_BYTES_IN
from gdsconsole.live.publish import Event, Frame, publish
from gdsconsole.live.sockets import QUEUED_FRAMES
from tests.waiting import wait_until

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def port(redis_url: str, transactional_db: None) -> Iterator[int]:
    """A web process of the console, in a thread."""
    from gdsconsole.asgi import application

    hub._hubs.clear()
    free = ports.free(1)[0]
    server = uvicorn.Server(
        uvicorn.Config(application, port=free, log_level="error", lifespan="off", ws="websockets-sansio")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started, 10, "the server listens")
    yield free
    server.should_exit = True
    server.force_exit = True
    thread.join(10)


@pytest.fixture
def cookie(make_user: Any, session_key_of: Any, settings: Any) -> str:
    user = make_user("viewer", "topics.view_alert", "pipelines.view_pipeline")
    return f"{settings.SESSION_COOKIE_NAME}={session_key_of(user)}"


def _connect(port: int, cookie: str = "", *, origin: str | None = "", **more: Any) -> connect:
    return connect(
        f"ws://127.0.0.1:{port}/ws/live/",
        origin=f"http://127.0.0.1:{port}" if origin == "" else origin,
        additional_headers={"Cookie": cookie} if cookie else {},
        **more,
    )


async def _next(socket: Any, wanted: Any, timeout_s: float = 10) -> dict[str, Any]:
    """The next frame for which `wanted` is true."""
    async with asyncio.timeout(timeout_s):
        while True:
            frame = json.loads(await socket.recv())
            if wanted(frame):
                return frame


@asynccontextmanager
async def _live(port: int, cookie: str) -> Any:
    async with _connect(port, cookie) as socket:
        await _next(socket, lambda frame: frame["live"])
        yield socket


def _has(key: str) -> Any:
    return lambda frame: any(event["key"] == key for event in frame["events"])


def _the_hub() -> hub.Hub:
    return next(found for found in hub._hubs.values() if found.sockets)


async def test_an_event_reaches_the_page(port, cookie):
    async with _live(port, cookie) as socket:
        publish("alert.changed", "7", {"id": 7, "state": "firing"})
        frame = await _next(socket, _has("7"))
    assert frame["events"] == [{"type": "alert.changed", "key": "7", "data": {"id": 7, "state": "firing"}}]
    assert not frame["gap"]


async def test_a_type_without_permission_does_not(port, cookie):
    async with _live(port, cookie) as socket:
        publish("lag.sampled", "secret", {"total_lag": 1})
        publish("alert.changed", "8", {"id": 8})
        frame = await _next(socket, _has("8"))
    assert [event["key"] for event in frame["events"]] == ["8"]


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "http://evil.example",
        "https://127.0.0.1:{port}",
        "http://127.0.0.1:1",
        "http://localhost:{port}",
    ],
)
async def test_a_wrong_origin_is_refused(port, cookie, origin):
    with pytest.raises(InvalidStatus) as refused:
        async with _connect(port, cookie, origin=origin and origin.format(port=port)):
            pass
    assert refused.value.response.status_code == 403


async def test_an_anonymous_visitor_is_refused(port):
    with pytest.raises(InvalidStatus) as refused:
        async with _connect(port):
            pass
    assert refused.value.response.status_code == 403


async def test_a_user_without_any_permission_is_refused(port, make_user, session_key_of, settings):
    user = await sync_to_async(make_user)("nobody")
    cookie = f"{settings.SESSION_COOKIE_NAME}={await sync_to_async(session_key_of)(user)}"
    with pytest.raises(InvalidStatus):
        async with _connect(port, cookie):
            pass


async def test_another_address_is_refused(port, cookie):
    with pytest.raises(InvalidStatus):
        async with connect(f"ws://127.0.0.1:{port}/ws/other/"):
            pass


async def test_a_demoted_user_is_closed(port, cookie, django_user_model):
    """Told by the change itself, within a second or two; the check every 10 s is in test_hub."""
    user = await django_user_model.objects.aget(username="viewer")
    async with _live(port, cookie) as socket:
        await sync_to_async(user.user_permissions.clear)()
        with pytest.raises(ConnectionClosed) as closed:
            await _next(socket, lambda frame: False, 15)
    assert closed.value.rcvd.code == hub.FORBIDDEN


def _client_with(cookie: str, settings: Any) -> Client:
    client = Client()
    client.cookies[settings.SESSION_COOKIE_NAME] = cookie.partition("=")[2]
    return client


async def test_a_log_out_ends_a_copied_cookie_too(port, cookie, make_user, session_key_of, settings):
    """The open socket is closed, and no page and no socket opens with the copy; other sign-ins go on."""
    user = await User.objects.aget(username="viewer")
    elsewhere = f"{settings.SESSION_COOKIE_NAME}={await sync_to_async(session_key_of)(user)}"
    async with _live(port, elsewhere) as other:
        async with _live(port, cookie) as socket:
            await sync_to_async(_client_with(cookie, settings).post)("/logout/")
            with pytest.raises(ConnectionClosed) as closed:
                await _next(socket, lambda frame: False, 5)
        assert closed.value.rcvd.code == hub.LOGGED_OUT
        with pytest.raises(InvalidStatus):
            async with _connect(port, cookie):
                pass
        answer = await sync_to_async(_client_with(cookie, settings).get)("/alerts/")
        assert (answer.status_code, answer["Location"]) == (302, "/login/?next=/alerts/")
        publish("alert.changed", "12", {"id": 12})
        await _next(other, _has("12"))


async def test_too_many_sockets_of_a_user_are_closed_with_a_code(port, cookie, settings):
    settings.GDS_SOCKETS_PER_USER = 1
    async with _live(port, cookie):
        async with _connect(port, cookie) as second:
            with pytest.raises(ConnectionClosed) as closed:
                await second.recv()
        assert closed.value.rcvd.code == hub.TOO_MANY


async def test_a_message_from_a_page_is_bounded(port, cookie):
    async with _live(port, cookie) as socket:
        await socket.send("x" * MOST_BYTES_IN)
        publish("alert.changed", "13", {"id": 13})
        await _next(socket, _has("13"))
        await socket.send("x" * (MOST_BYTES_IN + 1))
        with pytest.raises(ConnectionClosed) as closed:
            await _next(socket, lambda frame: False, 5)
    assert closed.value.rcvd.code == MESSAGE_TOO_BIG


async def test_fifty_sockets_share_one_subscription(port, cookie, redis_url):
    client = redis.Redis.from_url(redis_url)
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(_live(port, cookie)) for _ in range(50)]
        assert client.pubsub_numsub(events.channel()) == [(events.channel().encode(), 1)]
        publish("alert.changed", "9", {"id": 9})
        frames = await asyncio.gather(*(_next(socket, _has("9")) for socket in sockets))
    assert len({json.dumps(frame) for frame in frames}) == 1


async def test_a_restart_of_redis_is_told_and_survived(port, cookie, redis_server):
    async with _live(port, cookie) as socket:
        redis_server.kill()
        await _next(socket, lambda frame: not frame["live"])
        await asyncio.to_thread(redis_server.start)
        back = await _next(socket, lambda frame: frame["live"], 20)
        assert back["gap"]
        publish("alert.changed", "10", {"id": 10})
        await _next(socket, _has("10"), 20)


async def test_a_tab_that_does_not_read_costs_a_bounded_queue(port, cookie):
    """It neither holds its neighbour back nor fills the server's memory, and hears what it missed."""
    async with _live(port, cookie) as reader, _connect(port, cookie, max_queue=1) as stuck:
        the_hub = _the_hub()
        # Frames of 1 MB fill what the kernel buffers for a connection that nobody reads.
        most = await _on_server(_flood(the_hub, frames=60, size=1_000_000))
        assert most <= QUEUED_FRAMES
        assert max(one.dropped for one in the_hub.sockets) > 10
        publish("alert.changed", "last", {"id": 0})
        await _next(reader, _has("last"))
        assert await _next(stuck, lambda frame: frame["gap"], 30)


async def _flood(the_hub: hub.Hub, *, frames: int, size: int) -> int:
    """Flush that many frames to the hub's sockets; return the longest queue seen."""
    longest = 0
    for number in range(frames):
        # Random, because the connection compresses.
        data = msgspec.Raw(msgspec.json.encode({"filler": random.randbytes(size // 2).hex()}))
        the_hub.take(Frame(float(number), [Event("alert.changed", "big", data)]))
        the_hub.flush()
        longest = max(longest, *(len(socket) for socket in the_hub.sockets))
        await asyncio.sleep(0.02)
    return longest


async def _on_server(work: Coroutine[Any, Any, int]) -> int:
    """Run on the event loop of the server's thread."""
    loop = next(loop for loop, found in hub._hubs.items() if found.sockets)
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))


async def test_while_the_database_is_away_a_page_is_told_to_try_later(
    port: int, cookie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(session_key: str | None) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr("gdsconsole.live.consumers.grant_of", away)
    async with _connect(port, cookie) as socket:
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(socket.recv(), 10)
    assert socket.close_code == TRY_LATER
