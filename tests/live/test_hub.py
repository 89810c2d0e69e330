"""The hub: merges, keeps each socket's queue bounded, closes who may no longer listen."""

from __future__ import annotations

import json

import msgspec
import pytest
import redis

from gdsconsole.live import hub as hubs
from gdsconsole.live.authorization import Grant
from gdsconsole.live.hub import Hub
from gdsconsole.live.publish import Event, Frame
from gdsconsole.live.sockets import QUEUED_FRAMES, Socket

ALERTS = frozenset({"alert.changed"})
ALL = frozenset({"alert.changed", "lag.sampled"})


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Grants:
    """What each session may see; a test changes it."""

    def __init__(self) -> None:
        self.by_key: dict[str, Grant | None] = {}
        self.asked: list[str] = []
        self.down = False

    def __call__(self, key: str) -> Grant | None:
        if self.down:
            raise RuntimeError("database is locked")
        self.asked.append(key)
        return self.by_key[key]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def grants() -> Grants:
    return Grants()


class NoSubscription:
    async def read(self) -> bytes | None:
        raise OSError("not in this test")

    async def close(self) -> None: ...


@pytest.fixture
async def hub(clock, grants):
    made = Hub(NoSubscription, grants=grants, clock=clock, wall=clock)
    made._tasks = [None]  # The steps are called by the test.
    yield made
    made._tasks = []


def _join(hub, grants, name="s1", allowed=ALL, user="1") -> Socket:
    grants.by_key[name] = Grant(user, allowed)
    return hub.join(name, grants.by_key[name])


def _event(event_type, key, **data) -> Event:
    return Event(event_type, key, msgspec.Raw(msgspec.json.encode(data)))


async def _all(socket) -> list[dict]:
    found = []
    while len(socket):
        found.append(json.loads(await socket.next_text()))
    return found


async def test_frames_of_many_processes_become_one_newest_by_key(hub, grants):
    socket = _join(hub, grants)
    hub.take(Frame(1.0, [_event("lag.sampled", "g", lag=1), _event("alert.changed", "7", state="firing")]))
    hub.take(Frame(2.0, [_event("lag.sampled", "g", lag=2)]))
    hub.flush()
    hello, frame = await _all(socket)
    assert hello["events"] == []
    assert frame["at"] == 2.0
    assert frame["events"] == [
        {"type": "lag.sampled", "key": "g", "data": {"lag": 2}},
        {"type": "alert.changed", "key": "7", "data": {"state": "firing"}},
    ]


async def test_a_socket_gets_only_what_its_user_may_see(hub, grants):
    every, alerts = _join(hub, grants), _join(hub, grants, "s2", ALERTS)
    hub.flush()
    await _all(every), await _all(alerts)
    hub.take(Frame(1.0, [_event("lag.sampled", "g", lag=1)]))
    hub.flush()
    assert len(await _all(every)) == 1
    assert await _all(alerts) == []


async def test_a_frame_is_written_once_for_the_same_permissions(hub, grants):
    sockets = [_join(hub, grants, f"s{n}") for n in range(5)]
    for socket in sockets:
        await _all(socket)
    hub.take(Frame(1.0, [_event("lag.sampled", "g", lag=1)]))
    hub.flush()
    texts = [await socket.next_text() for socket in sockets]
    assert all(text is texts[0] for text in texts)


async def test_a_slow_socket_is_bounded_keeps_the_newest_and_hears_of_the_gap(hub, grants):
    socket = _join(hub, grants)
    for n in range(1_000):
        hub.take(Frame(float(n), [_event("lag.sampled", "g", lag=n)]))
        hub.flush()
        assert len(socket) <= QUEUED_FRAMES
    frames = await _all(socket)
    assert [frame["gap"] for frame in frames] == [True] + [False] * (QUEUED_FRAMES - 1)
    assert frames[-1]["events"][0]["data"] == {"lag": 999}


async def test_silence_is_broken_by_an_empty_frame_for_everybody(hub, grants, clock):
    """A socket that may see nothing of what flows must still hear that the line lives."""
    socket = _join(hub, grants, allowed=ALERTS)
    hub.flush()
    await _all(socket)
    for _ in range(24):
        clock.now += 0.25
        hub.take(Frame(clock.now, [_event("lag.sampled", "g", lag=1)]))
        hub.flush()
    assert [frame["events"] for frame in await _all(socket)] == [[]]


async def test_a_return_of_redis_is_a_gap(hub, grants):
    socket = _join(hub, grants)
    hub.set_live(True)
    hub.flush()
    hub.set_live(False)
    hub.flush()
    hub.set_live(True)
    hub.flush()
    said = [(frame["live"], frame["gap"]) for frame in await _all(socket)]
    assert said == [(False, False), (True, True), (False, False), (True, True)]


async def test_a_publishers_loss_is_told(hub, grants):
    socket = _join(hub, grants)
    await _all(socket)
    hub.take(Frame(1.0, [], gap=True))
    hub.flush()
    assert [frame["gap"] for frame in await _all(socket)] == [True]


async def test_a_demoted_user_is_closed_within_15_s(hub, grants, clock):
    socket = _join(hub, grants)
    grants.by_key["s1"] = Grant("1", frozenset())
    clock.now += hubs.RECHECK_S - 0.1
    await hub.recheck()
    assert socket.close_code is None
    clock.now += 0.2
    await hub.recheck()
    assert socket.close_code == hubs.FORBIDDEN
    assert await socket.next_text() is None
    assert hubs.RECHECK_S + 1 < 15


async def test_a_logged_out_or_deleted_user_is_closed(hub, grants, clock):
    socket = _join(hub, grants)
    grants.by_key["s1"] = None
    clock.now += hubs.RECHECK_S
    await hub.recheck()
    assert socket.close_code == hubs.LOGGED_OUT


async def test_fewer_permissions_hold_at_once_and_the_page_reads_itself_again(hub, grants):
    socket = _join(hub, grants, user="7")
    await _all(socket)
    grants.by_key["s1"] = Grant("7", ALERTS)
    hub.take(Frame(1.0, [_event("access.changed", "7")]))
    await hub.recheck()
    hub.take(Frame(2.0, [_event("lag.sampled", "g", lag=1)]))
    hub.flush()
    frames = await _all(socket)
    assert frames[0]["gap"]
    assert not any(frame["events"] for frame in frames)


async def test_a_session_that_ended_closes_its_sockets_and_no_others(hub, grants):
    mine, same_user = _join(hub, grants, user="7"), _join(hub, grants, "s2", user="7")
    grants.by_key["s1"] = None
    hub.take(Frame(1.0, [_event("access.changed", "7")]))
    await hub.recheck()
    assert (mine.close_code, same_user.close_code) == (hubs.LOGGED_OUT, None)


async def test_a_user_has_only_so_many_sockets(hub, grants, settings):
    settings.GDS_SOCKETS_PER_USER = 3
    for _ in range(3):
        _join(hub, grants, user="7")
    assert hub.join("s1", Grant("7", ALL)) is None
    assert hub.join("s2", Grant("8", ALL)) is not None


async def test_a_session_is_asked_once_however_many_tabs(hub, grants, clock):
    for _ in range(20):
        _join(hub, grants)
    clock.now += hubs.RECHECK_S
    await hub.recheck()
    assert grants.asked == ["s1"]


async def test_who_can_not_be_checked_is_not_served(hub, grants, clock):
    socket = _join(hub, grants)
    grants.down = True
    clock.now += 10
    with pytest.raises(RuntimeError):
        await hub.recheck()
    hub.close_unchecked()
    assert socket.close_code is None
    clock.now += 4
    hub.close_unchecked()
    assert socket.close_code == hubs.ASK_AGAIN


async def test_of_a_frame_only_what_looks_as_it_should_reaches_the_pages(hub, grants, caplog):
    socket = _join(hub, grants)
    good = b'{"type":"lag.sampled","key":"a","data":{"total_lag":1}}'
    odd = [
        b'{"type":"lag.sampled","key":"b","data":null}',
        b'{"type":"lag.sampled","key":"c","data":{"total_lag":"many"}}',
        b'{"type":"access.changed","key":"1","data":null}',
    ]
    for _ in range(2):
        hub._take_encoded(b'{"at":1e300,"events":[%s]}' % b",".join([*odd, good]))
    for foreign in (b"\xff", b"[" * 100_000, b'{"at":"x","events":[]}'):
        hub._take_encoded(foreign)
    hub.flush()
    frames = await _all(socket)
    assert [event["key"] for frame in frames for event in frame["events"]] == ["a"]
    # A time that is none must not become the age of what pages show.
    assert frames[-1]["at"] < 1e12
    assert sum("gds:live:frames lag.sampled" in record.getMessage() for record in caplog.records) <= 1


async def test_a_foreign_message_is_ignored(hub, grants, caplog):
    socket = _join(hub, grants)
    hub._take_encoded(b"not a frame")
    hub.flush()
    assert "is not ours" in caplog.text
    assert not any(frame["events"] for frame in await _all(socket))


@pytest.mark.redis
async def test_a_redis_that_takes_no_writes_carries_no_news(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever publishes is refused, so pages have to ask for themselves."""
    monkeypatch.setattr(hubs, "SILENT_S", 2.7)
    listening, late = hubs.RedisSubscription(redis_url), hubs.RedisSubscription(redis_url)
    assert await listening.read() is None
    with redis.Redis.from_url(redis_url) as client:
        client.config_set("min-replicas-to-write", 1)
        try:
            with pytest.raises(redis.ResponseError, match="NOREPLICAS"):
                await listening.read()
            with pytest.raises(redis.ResponseError, match="NOREPLICAS"):
                await late.read()
        finally:
            client.config_set("min-replicas-to-write", 0)
    for subscription in (listening, late):
        await subscription.close()
