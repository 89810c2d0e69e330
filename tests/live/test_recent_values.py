"""A quarter of an hour of published figures: kept by Redis, summed by step, gaps kept as gaps."""

from __future__ import annotations

import pytest
import redis

from gdsconsole.live import events, publish
from gdsconsole.live.publish import HISTORY_EVERY_S, HISTORY_POINTS, Publisher
from gdsconsole.live.recent_values import history, summed

NOW = 1_000.0
WHOLE = [1.0, 2.0, 3.0, 4.0]


def series(*values: float | None, ends: float = NOW, every_s: float = 5.0):
    """Values `every_s` apart, the last at `ends`."""
    return [(ends - every_s * (len(values) - 1 - n), value) for n, value in enumerate(values)]


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        pytest.param({}, [], id="nothing"),
        pytest.param({"a": []}, [], id="a key without history"),
        pytest.param({"a": series(*WHOLE)}, WHOLE, id="one key"),
        pytest.param({"a": series(*WHOLE), "b": series(*WHOLE)}, [2.0, 4.0, 6.0, 8.0], id="two keys"),
        pytest.param({"a": series(3, 4)}, [3.0, 4.0], id="nothing before the first"),
        pytest.param({"a": series(0, 0)}, [0.0, 0.0], id="zero is known"),
        pytest.param({"a": series(1, None, 3, 4)}, [1.0, None, 3.0, 4.0], id="unknown is a gap"),
        pytest.param(
            {"a": series(1, None, 3, 4), "b": series(1, 1, 1, 1)},
            [2.0, 1.0, 4.0, 5.0],
            id="what is known of the others stays",
        ),
        pytest.param({"a": series(*range(9))}, [5.0, 6.0, 7.0, 8.0], id="only the last steps"),
        pytest.param({"a": series(*WHOLE, ends=NOW - 3)}, WHOLE, id="between two steps"),
        pytest.param({"a": series(*WHOLE, ends=NOW + 2)}, [1.0, 2.0, 3.0], id="another clock's future"),
        pytest.param({"a": series(7, ends=NOW - 10)}, [7.0, 7.0, 7.0], id="a value holds for 2.5 steps"),
        pytest.param({"a": series(7, ends=NOW - 13)}, [7.0, 7.0, None], id="and no longer"),
        pytest.param({"a": series(7, ends=NOW - 900)}, [], id="all too old"),
    ],
)
def test_summed(points, expected):
    assert summed(points, now=NOW, step_s=5.0, steps=4) == expected


@pytest.mark.parametrize("late_s", [0.0, 0.4, 2.49, 2.51, 4.9])
def test_samples_off_the_beat_make_no_gap(late_s):
    """Beat ticks every 5 s give or take; wherever that falls between the steps, the line is whole."""
    jitter = [0.3, -0.4, 0.2, 0.0, -0.3, 0.45, -0.1, 0.25]
    points = [(NOW - late_s - 5.0 * (39 - n) + jitter[n % 8], 1.0) for n in range(40)]
    values = summed({"a": points}, now=NOW, step_s=5.0, steps=36)
    assert values == [1.0] * 36


@pytest.fixture
def publish_at(redis_url):
    """Publish through a real Redis at a given time."""
    now = [NOW]
    sender = publish.RedisSender(redis_url)
    publisher = Publisher(lambda: sender, clock=lambda: now[0], wall=lambda: now[0])

    def at(moment: float, event_type: str, key: str, data: dict) -> None:
        now[0] = moment
        publisher.offer(event_type, key, data)
        assert publisher.step() == 1

    return at


@pytest.mark.redis
def test_every_published_value_of_a_sampler_is_kept(publish_at):
    for n in range(4):
        publish_at(NOW + 5 * n - 0.3 * (n % 2), "lag.sampled", "gds-alerting", {"total_lag": n, "state": "x"})
    publish_at(NOW + 20, "lag.sampled", "gds-warehouse", {"total_lag": None})
    found = history("lag.sampled", "total_lag", ["gds-alerting", "gds-warehouse", "gds-none"])
    assert found["gds-alerting"] == [(NOW, 0), (NOW + 4.7, 1), (NOW + 10, 2), (NOW + 14.7, 3)]
    assert found["gds-warehouse"] == [(NOW + 20, None)]
    assert found["gds-none"] == []


@pytest.mark.redis
def test_of_what_is_published_every_second_one_in_five_is_kept(publish_at):
    for n in range(21):
        publish_at(NOW + n, "pipeline.stats", "alerting/0", {"rate_in": float(n), "processed": n})
    found = history("pipeline.stats", "rate_in", ["alerting/0"])["alerting/0"]
    assert [value for _, value in found] == [0.0, 5.0, 10.0, 15.0, 20.0]


@pytest.mark.redis
def test_history_is_bounded_and_forgets_what_went_silent(publish_at, redis_url):
    for n in range(HISTORY_POINTS + 20):
        publish_at(NOW + HISTORY_EVERY_S * n, "topic.rates", "t", {"rate_in": float(n)})
    found = history("topic.rates", "rate_in", ["t"])["t"]
    assert len(found) == HISTORY_POINTS
    assert found[0] == (NOW + HISTORY_EVERY_S * 20, 20.0)
    with redis.Redis.from_url(redis_url) as client:
        assert 0 < client.ttl(events.history_key("topic.rates", "t")) <= HISTORY_POINTS * HISTORY_EVERY_S


@pytest.mark.redis
def test_a_field_that_a_type_got_later_is_unknown_before(publish_at, monkeypatch):
    publish_at(NOW, "topic.rates", "t", {"rate_in": 1.0, "bytes_in": 9.0})
    wider = events.EventType("topic.rates", "topics.view_topicdefinition", history=("rate_in", "bytes_in"))
    monkeypatch.setitem(events.EVENT_TYPES, "topic.rates", wider)
    publish_at(NOW + 5, "topic.rates", "t", {"rate_in": 2.0, "bytes_in": 8.0})
    assert history("topic.rates", "bytes_in", ["t"])["t"] == [(NOW, None), (NOW + 5, 8.0)]


@pytest.mark.redis
def test_types_without_history_leave_no_list(publish_at, redis_url):
    publish_at(NOW, "alert.changed", "7", {"state": "firing"})
    with redis.Redis.from_url(redis_url) as client:
        assert client.keys(events.history_key("*", "*")) == []


def test_a_field_without_history_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match=r"lag\.sampled keeps no history of 'unknown_partitions'"):
        history("lag.sampled", "unknown_partitions", ["gds-alerting"])


def test_nothing_is_drawn_while_redis_is_away(settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert history("lag.sampled", "total_lag", ["a", "b"]) == {"a": [], "b": []}
    assert history("lag.sampled", "total_lag", []) == {}
