"""The guard of effects outside of the database, on a real Redis, killed at every line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from gdsconsole.devstack.redis_server import RedisServer
from gdsconsole.kafka.errors import FailureKind
from gdsconsole.kafka.idempotent import ClaimState, IdempotentProcessor, StillBusy, key_of
from gdsconsole.kafka.partitions import TopicPartitionOffset
from gdsconsole.pipelines.storage import classify_failure
from tests.waiting import wait_until

pytestmark = pytest.mark.redis

TOPIC = "gds.metrics.production"


def places(count: int, start: int = 0) -> list[TopicPartitionOffset]:
    return [TopicPartitionOffset(TOPIC, n % 3, start + n) for n in range(count)]


def keys(count: int) -> list[str]:
    return [key_of(place) for place in places(count)]


def same(place: TopicPartitionOffset) -> TopicPartitionOffset:
    return place


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as made:
        yield made


class Killed(BaseException):
    """What ends a process: nothing of it runs after this."""


def test_the_key_is_the_guides_and_lives_for_its_hour(client: redis.Redis) -> None:
    IdempotentProcessor(client).process(places(1), same, lambda fresh: None)
    assert client.keys() == [b"processed:gds.metrics.production:0:0"]
    assert 3_590 <= client.ttl("processed:gds.metrics.production:0:0") <= 3_600


def test_a_record_is_processed_once_however_often_it_comes(client: redis.Redis) -> None:
    done: list[TopicPartitionOffset] = []
    for _ in range(3):
        IdempotentProcessor(client).process(places(10), same, done.extend)
    assert IdempotentProcessor(client).process(places(12), same, done.extend) == 2
    assert done == places(12)


def test_a_failed_effect_frees_its_records_at_once(client: redis.Redis) -> None:
    def fail(fresh: Any) -> None:
        raise RuntimeError("the mail server refused it")

    with pytest.raises(RuntimeError):
        IdempotentProcessor(client).process(places(5), same, fail)
    assert client.dbsize() == 0
    done: list[TopicPartitionOffset] = []
    IdempotentProcessor(client).process(places(5), same, done.extend)
    assert done == places(5)


def test_what_another_holder_has_is_waited_for(client: redis.Redis) -> None:
    first, second = IdempotentProcessor(client, lease_s=0.3), IdempotentProcessor(client)
    assert first.claim(keys(2)) == [ClaimState.CLAIMED] * 2
    assert second.claim(keys(3)) == [ClaimState.BUSY, ClaimState.BUSY, ClaimState.CLAIMED]
    second.release(keys(3))
    assert client.dbsize() == 2
    done: list[TopicPartitionOffset] = []
    with pytest.raises(StillBusy, match="2 of 3 records"):
        second.process(places(3), same, done.extend)
    assert done == []

    def again() -> bool:
        try:
            return second.process(places(3), same, done.extend) == 3
        except StillBusy:
            return False

    wait_until(again, 5, "the lease of the dead holder runs out")
    assert first.finish(keys(2)) == 2  # it is told that it was too late


def test_a_named_holder_finds_its_own_leases_after_a_restart(client: redis.Redis) -> None:
    IdempotentProcessor(client, holder="gds-mail/0").claim(keys(4))
    done: list[TopicPartitionOffset] = []
    assert IdempotentProcessor(client, holder="gds-mail/0").process(places(4), same, done.extend) == 4


def test_a_topic_made_again_is_not_taken_for_the_old_one(client: redis.Redis) -> None:
    IdempotentProcessor(client, topic_id="old").process(places(3), same, lambda fresh: None)
    IdempotentProcessor(client, topic_id="old", holder="dead").claim(
        [key_of(TopicPartitionOffset(TOPIC, 0, 99))]
    )
    new = IdempotentProcessor(client, topic_id="new")
    assert new.claim([*keys(3), key_of(TopicPartitionOffset(TOPIC, 0, 99))]) == [ClaimState.CLAIMED] * 4


def kill_at(line: int) -> Callable[[str], None]:
    """Ends the process at its `line`-th call of Redis, after the server has done it, or between two."""
    calls = 0

    def count(_: str) -> None:
        nonlocal calls
        calls += 1
        if calls == line:
            raise Killed

    return count


def naive(
    client: redis.Redis,
    records: list[TopicPartitionOffset],
    effect: Callable[[list[TopicPartitionOffset]], None],
) -> None:
    """The guide's order: marked first, processed after."""
    for place in records:
        if client.set(key_of(place), "1", ex=3600, nx=True):
            effect([place])


@pytest.mark.parametrize("line", [1, 2, 3])
def test_a_kill_at_any_line_loses_nothing(client: redis.Redis, line: int) -> None:
    """Lines: the claim has been answered; the effect has happened; done has been marked."""
    done: list[TopicPartitionOffset] = []
    step = kill_at(line)

    class Mortal(IdempotentProcessor):
        def claim(self, keys: Any) -> list[ClaimState]:
            claims = super().claim(keys)
            step("claimed")
            return claims

        def finish(self, keys: Any) -> int:
            step("effect happened")
            lost = super().finish(keys)
            step("marked")
            return lost

        def release(self, keys: Any) -> None:
            """A killed process gives nothing back."""

    with pytest.raises(Killed):
        Mortal(client, lease_s=0.2).process(places(6), same, done.extend)
    survivor = IdempotentProcessor(client, lease_s=0.2)

    def recovered() -> bool:
        try:
            survivor.process(places(6), same, done.extend)
        except StillBusy:
            return False
        return True

    wait_until(recovered, 5, "the records come again")
    assert set(done) == set(places(6))
    # Only between effect and mark may it happen twice, and nowhere may it not happen.
    assert len(done) == (12 if line == 2 else 6)


def test_the_guides_order_loses_what_is_killed_between_mark_and_effect(client: redis.Redis) -> None:
    done: list[TopicPartitionOffset] = []

    def die(records: list[TopicPartitionOffset]) -> None:
        raise Killed

    with pytest.raises(Killed):
        naive(client, places(6), die)
    naive(client, places(6), done.extend)
    assert set(done) < set(places(6))


def test_without_redis_nothing_is_processed_and_it_is_transient(redis_server: RedisServer) -> None:
    done: list[TopicPartitionOffset] = []
    processor = IdempotentProcessor(redis.Redis.from_url(redis_server.url, socket_timeout=1))
    redis_server.kill()
    with pytest.raises(redis.ConnectionError) as caught:
        processor.process(places(2), same, done.extend)
    assert classify_failure(caught.value) is FailureKind.TRANSIENT
    assert done == []
