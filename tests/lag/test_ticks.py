from __future__ import annotations

from typing import Any

import pytest
import redis

from lag.ticks import tick
from tests.waiting import wait_until

pytestmark = pytest.mark.redis


def take(name: str = "groups", every_s: float = 5.0) -> bool:
    with tick(name, every_s=every_s, longest_s=30) as is_mine:
        return is_mine


def test_two_beats_make_one_sample_a_tick(redis_url: str) -> None:
    assert [take(), take()] == [True, False]
    # Another sampler's tick is its own.
    assert take("brokers")


def test_the_next_tick_is_free(redis_url: str) -> None:
    assert take(every_s=0.05)
    wait_until(lambda: take(every_s=0.05), 5, "the next tick can be taken")


def test_a_sample_that_takes_long_has_no_second_beside_it(redis_url: str) -> None:
    with tick("groups", every_s=0.001, longest_s=30) as is_mine:
        assert is_mine
        assert not take()
    assert take()


def test_who_dies_in_a_tick_holds_it_for_a_while(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client, tick("groups", every_s=5, longest_s=30):
        (key,) = client.keys("*:lag:tick:groups")
        assert 29_000 < int(client.pttl(key)) <= 30_000  # type: ignore[arg-type]


def test_whoever_took_the_name_over_keeps_it(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        with tick("groups", every_s=0.001, longest_s=30):
            (key,) = client.keys("*:lag:tick:groups")
            client.set(key, "another")
        assert client.get(key) == b"another"


def test_without_redis_nobody_samples(redis_server: Any) -> None:
    redis_server.kill()
    assert not take()
