"""One dead letter for a record that several groups can't decode."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread

import pytest
from confluent_kafka import KafkaError
from django.db import connection

from gdsconsole.kafka.consuming.batching import BatchPolicy
from gdsconsole.kafka.consuming.equipment import Policies
from gdsconsole.kafka.dead_letters.claims import ClaimResult, RecordClaim
from gdsconsole.kafka.partitions import TopicIdPartition
from gdsconsole.kafka.status import ConsumerState
from gdsconsole.pipelines import dead_letter_claims
from gdsconsole.pipelines.dead_letter_claims import KEPT, TTL, StoredClaims
from gdsconsole.pipelines.models import DeadLetterClaim
from gdsconsole.pipelines.storage import StorageUnavailable
from tests.kafka.lab import Lab

NOW = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)
PART = TopicIdPartition("gds.metrics.production", 3, "topic-1", "cluster-1")
ONE, TWO = RecordClaim(PART, 1), RecordClaim(PART, 2)
NOTHING: frozenset[RecordClaim] = frozenset()


def group(name: str, now: Callable[[], datetime] = lambda: NOW) -> StoredClaims:
    return StoredClaims(name, clock=now)


@pytest.mark.django_db
def test_who_comes_first_writes_and_the_others_find_it_safe():
    first, second = group("gds-alerting"), group("gds-warehouse")
    assert first.claim([ONE, TWO]) == ClaimResult(frozenset({ONE, TWO}), NOTHING)
    assert second.claim([ONE, TWO]) == ClaimResult(NOTHING, NOTHING)
    first.settle([ONE])
    assert second.claim([ONE, TWO]) == ClaimResult(NOTHING, frozenset({ONE}))
    first.settle([TWO])
    assert second.claim([ONE, TWO]) == ClaimResult(NOTHING, frozenset({ONE, TWO}))


@pytest.mark.django_db
def test_a_claim_whose_holder_died_is_its_successors_at_once_and_anybodys_later():
    group("gds-alerting").claim([ONE])
    assert group("gds-alerting").claim([ONE]).mine == {ONE}
    almost, over = NOW + TTL - timedelta(seconds=1), NOW + TTL
    assert group("gds-warehouse", lambda: almost).claim([ONE]).mine == NOTHING
    assert group("gds-warehouse", lambda: over).claim([ONE]).mine == {ONE}
    assert group("gds-alerting", lambda: over).claim([ONE]) == ClaimResult(NOTHING, NOTHING)


@pytest.mark.django_db
def test_another_topic_of_the_name_is_another_record():
    group("gds-alerting").claim([ONE])
    remade = RecordClaim(PART._replace(topic_id="topic-2"), 1)
    assert group("gds-warehouse").claim([remade]).mine == {remade}


@pytest.mark.django_db
def test_what_every_group_is_long_past_is_forgotten():
    group("gds-alerting").claim([ONE])
    assert dead_letter_claims.prune(now=NOW + KEPT) == 0
    assert dead_letter_claims.prune(now=NOW + KEPT + TTL + timedelta(seconds=1)) == 1
    assert not DeadLetterClaim.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_groups_that_come_at_once_one_has_each():
    wanted = [RecordClaim(PART, offset) for offset in range(100)]
    barrier, found = Barrier(3), {}

    def come(name: str) -> None:
        barrier.wait()
        try:
            found[name] = group(name).claim(wanted).mine
        finally:
            connection.close()

    threads = [Thread(target=come, args=(name,)) for name in ("alerting", "warehouse", "analytics")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one for mine in found.values() for one in mine) == wanted


# In the runtime.


class Shared:
    """Claims in memory, for two groups of one database. `away` is what every call raises meanwhile."""

    def __init__(self) -> None:
        self.holders: dict[RecordClaim, str] = {}
        self.safe: set[RecordClaim] = set()
        self.away: Exception | None = None
        self.fails_to_mark = False

    def of(self, name: str) -> Ours:
        return Ours(self, name)


class Ours:
    def __init__(self, shared: Shared, name: str) -> None:
        self.shared = shared
        self.name = name

    def claim(self, records):
        if self.shared.away:
            raise self.shared.away
        safe = frozenset(records) & self.shared.safe
        for one in set(records) - safe:
            self.shared.holders.setdefault(one, self.name)
        mine = {one for one in set(records) - safe if self.shared.holders[one] == self.name}
        return ClaimResult(frozenset(mine), safe)

    def settle(self, records):
        if self.shared.away or self.shared.fails_to_mark:
            raise self.shared.away or StorageUnavailable("database: locked")
        self.shared.safe |= set(records)


FEW = Policies(batch=BatchPolicy(minimum=5, maximum=5))


def started(shared: Shared, name: str) -> Lab:
    lab = Lab()
    lab.send("a", "bad1", "b", "bad2")
    lab.start(claims=shared.of(name), policies=FEW)
    return lab


def test_a_second_group_moves_past_what_the_first_has_written():
    shared = Shared()
    first, second = started(shared, "first"), started(shared, "second")
    first.turns(3)
    second.turns(3)
    assert (len(first.dead), len(second.dead)) == (2, 0)
    assert first.committed() == second.committed() == 4
    assert second.database.effects == ["a", "b"]
    assert second.pipeline.counters.dead_letters == 2


def test_nothing_is_committed_past_a_letter_that_another_group_has_claimed_and_not_written():
    shared = Shared()
    first, second = started(shared, "first"), started(shared, "second")
    first.producer.refuse = KafkaError._MSG_TIMED_OUT
    first.turns(2)
    assert (first.dead, shared.safe) == ([], set())
    second.turns(2)
    assert second.pipeline.snapshot().state is ConsumerState.RETRYING
    assert "another group's" in second.pipeline.snapshot().reason
    assert second.committed() in (None, 0)
    # The first one dies; its claims run out.
    shared.holders.clear()
    second.turns(5)
    assert len(second.dead) == 2
    assert second.committed() == 4


def test_without_the_database_no_letter_is_written_and_everything_waits():
    shared = Shared()
    shared.away = StorageUnavailable("database: locked")
    lab = started(shared, "first")
    lab.turns(3)
    assert lab.dead == []
    assert lab.pipeline.snapshot().state is ConsumerState.RETRYING
    shared.away = None
    lab.turns(5)
    assert (len(lab.dead), lab.committed()) == (2, 4)


def test_a_letter_that_is_written_and_could_not_be_marked_is_marked_later_and_not_written_again():
    shared = Shared()
    shared.fails_to_mark = True
    lab = started(shared, "first")
    lab.turns(3)
    assert len(lab.dead) == 2
    shared.fails_to_mark = False
    lab.turns(6)
    assert len(lab.dead) == 2
    assert len(shared.safe) == 2
    assert lab.committed() == 4
