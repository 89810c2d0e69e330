"""The publisher: newest wins, one frame at most every 250 ms, never a burden to who calls it."""

from __future__ import annotations

import json
import os
import threading
import time

import msgspec
import pytest
import redis

from gdsconsole.live import events, publish
from gdsconsole.live.publish import Frame, Publisher
from gdsconsole.live.snapshots import latest, latest_of
from tests.waiting import wait_until


class Recorder:
    """A sender that keeps frames, and fails while `down`."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.times: list[float] = []
        self.down = False

    def __call__(self, frame: Frame) -> None:
        if self.down:
            raise redis.ConnectionError("down")
        self.frames.append(frame)
        self.times.append(time.monotonic())


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sender() -> Recorder:
    return Recorder()


@pytest.fixture
def publisher(sender: Recorder, clock: Clock) -> Publisher:
    return Publisher(lambda: sender, clock=clock, wall=clock)


def _keys(frame: Frame) -> list[str]:
    return [event.key for event in frame.events]


def test_first_event_goes_at_once_and_the_next_frame_waits_250_ms(publisher, sender, clock):
    publisher.offer("lag.sampled", "a", {"n": 1})
    assert publisher.step() == 1
    publisher.offer("lag.sampled", "a", {"n": 2})
    clock.now += 0.249
    assert publisher.step() == 0
    clock.now += 0.002
    assert publisher.step() == 1
    assert [json.loads(bytes(frame.events[0].data)) for frame in sender.frames] == [{"n": 1}, {"n": 2}]


def test_newest_of_a_key_wins(publisher, sender):
    for n in range(100):
        publisher.offer("lag.sampled", "a", {"n": n})
    publisher.offer("lag.sampled", "b", {"n": 0})
    publisher.step()
    assert _keys(sender.frames[0]) == ["a", "b"]
    assert json.loads(bytes(sender.frames[0].events[0].data)) == {"n": 99}


def test_a_large_backlog_leaves_in_bounded_frames_oldest_first(publisher, sender, clock):
    for n in range(publish.FRAME_EVENTS + 10):
        publisher.offer("metric.newest", f"k{n}", {})
    assert publisher.step() == publish.FRAME_EVENTS
    clock.now += 0.3
    assert publisher.step() == 10
    assert _keys(sender.frames[1])[0] == f"k{publish.FRAME_EVENTS}"


def test_waiting_events_are_bounded_and_the_loss_is_told(publisher, sender):
    for n in range(publish.MAX_WAITING + 3):
        publisher.offer("metric.newest", f"k{n}", {})
    publisher.step()
    assert sender.frames[0].gap
    assert _keys(sender.frames[0])[0] == "k3"


def test_an_outage_keeps_the_newest_and_backs_off(publisher, sender, clock):
    sender.down = True
    publisher.offer("lag.sampled", "a", {"n": 1})
    assert publisher.step() == 0
    assert publisher.due_in() == pytest.approx(0.5)
    publisher.offer("lag.sampled", "a", {"n": 2})
    clock.now += 0.5
    assert publisher.step() == 0
    assert publisher.due_in() == pytest.approx(1.0)
    sender.down = False
    clock.now += 1.0
    assert publisher.step() == 1
    assert json.loads(bytes(sender.frames[0].events[0].data)) == {"n": 2}
    assert publisher.due_in() == pytest.approx(0.25)


def test_what_is_not_json_is_left_out_and_the_rest_goes(publisher, sender, caplog):
    publisher.offer("lag.sampled", "bad", {"n": object()})
    publisher.offer("lag.sampled", "good", {"n": 1})
    publisher.step()
    assert _keys(sender.frames[0]) == ["good"]
    assert "lag.sampled bad" in caplog.text


def test_an_unknown_type_is_refused_and_raises_nothing(caplog):
    publish.publish("secret.thing", "k", {})
    assert "secret.thing" in caplog.text


def test_ten_thousand_publishes_a_second_make_four_frames_a_second(sender):
    publisher = Publisher(lambda: sender)
    publisher.start()
    began = time.monotonic()
    sent = 0
    while (elapsed := time.monotonic() - began) < 1.6:
        while sent < elapsed * 10_000:
            publisher.offer("metric.newest", f"k{sent % 50}", {"n": sent})
            sent += 1
        time.sleep(0.001)
    wait_until(
        lambda: any(json.loads(bytes(e.data))["n"] == sent - 1 for f in sender.frames for e in f.events),
        5,
        "last",
    )
    assert sent >= 15_000
    gaps = [after - before for before, after in zip(sender.times, sender.times[1:], strict=False)]
    assert min(gaps) >= 0.245
    assert len(sender.frames) <= 9


def test_a_forked_child_has_a_publisher_of_its_own(redis_url):
    """The parent's thread isn't in the child; its lock may have been held at the fork."""
    publish.publish("lag.sampled", "parent", {"n": 1})
    held = publish._publisher()._lock
    with held:
        pid = os.fork()
        if pid == 0:
            publish.publish("lag.sampled", "child", {"n": 2})
            publish.flush()
            os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert wait_until(lambda: latest("lag.sampled"), 5, "child's data")["child"]["n"] == 2


def test_many_threads_publish_at_once(sender):
    publisher = Publisher(lambda: sender, interval_s=0)

    def work(thread: int) -> None:
        for n in range(500):
            publisher.offer("metric.newest", f"{thread}/{n % 20}", {"n": n})

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    publisher.step()
    assert len(sender.frames[0].events) == 160


@pytest.mark.redis
def test_newest_data_is_readable_and_bounded(redis_url, monkeypatch):
    monkeypatch.setitem(events.EVENT_TYPES, "lag.sampled", events.EventType("lag.sampled", "x", kept=3))
    client = redis.Redis.from_url(redis_url)
    listener = client.pubsub(ignore_subscribe_messages=True)
    listener.subscribe(events.channel())
    listener.get_message(timeout=2)
    sender = publish.RedisSender(redis_url)
    clock = Clock()
    publisher = Publisher(lambda: sender, clock=clock, wall=clock)
    for n in range(5):
        clock.now += 1
        publisher.offer("lag.sampled", f"g{n}", {"lag": n})
        publisher.offer("topic.rates", "t", {"rate_in": n + 0.5})
        publisher.step()
    found = latest_of(["lag.sampled", "topic.rates", "alert.changed"])
    assert set(found["lag.sampled"]) == {"g2", "g3", "g4"}
    assert found["topic.rates"] == {"t": {"rate_in": 4.5, "published_at": 1005.0}}
    assert found["alert.changed"] == {}
    frame = msgspec.json.decode(wait_until(lambda: listener.get_message(timeout=0.2), 5, "frame")["data"])
    assert frame["events"][0] == {"type": "lag.sampled", "key": "g0", "data": {"lag": 0}}


def test_snapshots_are_unknown_while_redis_is_away(settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert latest("lag.sampled") is None


def test_a_flush_while_a_frame_is_being_sent_sends_what_came_meanwhile(clock):
    sends, goes_on, frames = threading.Event(), threading.Event(), []

    def slow(frame: Frame) -> None:
        frames.append(_keys(frame))
        sends.set()
        assert goes_on.wait(10)

    publisher = Publisher(lambda: slow, clock=clock, wall=clock)
    publisher.offer("lag.sampled", "a", {"n": 1})
    sending = threading.Thread(target=publisher.step)
    sending.start()
    assert sends.wait(10)
    publisher.offer("lag.sampled", "b", {"n": 1})
    flushing = threading.Thread(target=publisher.flush)
    flushing.start()
    goes_on.set()
    sending.join(10)
    flushing.join(10)
    assert frames == [["a"], ["b"]]
