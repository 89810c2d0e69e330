"""Batches that wait for enough records: nothing is lost, doubled or held up by it."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from gdsconsole.kafka.consuming.batching import BatchPolicy
from gdsconsole.kafka.consuming.equipment import Policies
from tests.kafka.lab import P1, Lab

PATIENT = Policies(batch=BatchPolicy(minimum=1, maximum=100, enough=5, wait_s=5.0))


@pytest.fixture
def lab() -> Lab:
    made = Lab(partitions=2)
    made.start(policies=PATIENT)
    made.turns(2)
    return made


def test_few_records_are_one_batch_after_a_while_and_polling_goes_on(lab: Lab) -> None:
    lab.send("a", "b")
    lab.turns(1)
    polls = lab.source.polls
    lab.send("c", partition=1)
    lab.turns(4)
    assert (lab.database.effects, lab.committed(0)) == ([], 0)
    assert lab.source.polls == polls + 4
    lab.turns(3)
    assert (lab.database.effects, lab.step.batches) == (["a", "b", "c"], [3])
    assert (lab.committed(0), lab.committed(1)) == (2, 1)


def test_enough_records_wait_for_nothing(lab: Lab) -> None:
    lab.send("a", "b", "c", "d", "e")
    lab.turns(1)
    assert lab.step.batches == [5]


def test_what_waits_of_a_revoked_partition_is_left_to_its_next_owner(lab: Lab) -> None:
    lab.send("a")
    lab.send("b", partition=1)
    lab.turns(1)
    lab.source.revoke_now(P1)
    lab.turns(8)
    assert lab.database.effects == ["a"]
    assert lab.committed(1) == 0


@pytest.mark.parametrize("give_up", ["revoke_now", "lose_now"])
def test_a_partition_that_comes_back_while_a_batch_waits_gives_its_records_once(
    lab: Lab, give_up: str
) -> None:
    lab.send("a")
    lab.send("b", partition=1)
    lab.turns(1)
    getattr(lab.source, give_up)(P1)
    lab.source.assign_now(P1)
    lab.turns(8)
    assert sorted(lab.database.effects) == ["a", "b"]


def test_records_that_wait_while_a_commit_is_refused_come_once(lab: Lab) -> None:
    lab.send("a", "b", "c", "d", "e")
    lab.source.refuse_commits = KafkaError.UNKNOWN_MEMBER_ID
    lab.turns(1)
    lab.source.refuse_commits = None
    lab.send("f", "g")
    lab.turns(20)
    assert lab.database.effects == ["a", "b", "c", "d", "e", "f", "g"]
    assert lab.committed(0) == 7


def test_an_outage_while_more_is_on_its_way(lab: Lab) -> None:
    from gdsconsole.kafka.errors import TransientError

    failing = [True]

    def before(batch: object) -> None:
        if failing:
            failing.pop()
            raise TransientError("locked")

    lab.step.before = before
    lab.send("a", "b", "c", "d", "e")
    lab.turns(1)
    lab.send("f", "g")
    lab.turns(30)
    assert lab.database.effects == ["a", "b", "c", "d", "e", "f", "g"]


def test_closing_leaves_what_waits_to_the_next_start(lab: Lab) -> None:
    lab.send("a", "b")
    lab.turns(1)
    lab.pipeline.close(commit=True)
    assert (lab.database.effects, lab.committed(0)) == ([], 0)
    lab.start(policies=PATIENT)
    lab.turns(9)
    assert lab.database.effects == ["a", "b"]
