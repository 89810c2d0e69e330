"""Partitions that halt, each by itself, and what becomes of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from confluent_kafka import KafkaError

from gdsconsole.kafka.consuming.batching import BatchPolicy
from gdsconsole.kafka.consuming.equipment import Policies
from gdsconsole.kafka.consuming.halts import Decision, PartitionHalt
from gdsconsole.kafka.consuming.retries import BreakerPolicy
from gdsconsole.kafka.errors import TransientError
from gdsconsole.kafka.partitions import TopicIdPartition
from gdsconsole.kafka.status import ConsumerState
from tests.kafka.lab import GROUP, P0, P1, TOPIC, Lab

# Small bounds: ten in a row.
POLICIES = Policies(
    batch=BatchPolicy(minimum=5, maximum=5),
    breaker=BreakerPolicy(max_in_a_row=10, min_records=1_000),
    consumer_breaker=BreakerPolicy(max_in_a_row=30, min_records=1_000),
)
PART = TopicIdPartition(TOPIC, 0, "topic-1", "cluster-1")


def poisoned(lab: Lab, count: int, partition: int = 0) -> None:
    lab.send(*[f"bad{partition}.{number}" for number in range(count)], partition=partition)


def halted_lab(partitions: int = 2) -> Lab:
    """Partition 0 has halted at its eleventh record; fifteen bad ones and three good ones are there."""
    lab = Lab(partitions)
    poisoned(lab, 15)
    lab.send("good1", "good2", "good3")
    lab.start(policies=POLICIES)
    lab.turns(8)
    assert lab.pipeline.snapshot().halted.keys() == {f"{TOPIC}-0"}
    assert lab.database.halts[PART].offset == 10
    assert len(lab.dead) == 10
    return lab


def decide(lab: Lab, decision: Decision, skip_to: int | None = None) -> None:
    halt = lab.database.halts[PART]
    lab.database.halts[PART] = replace(halt, decision=decision, skip_to=skip_to)


def test_one_halted_partition_stands_and_the_other_goes_on():
    lab = halted_lab()
    lab.send("a", "b", partition=1)
    lab.turns(5)
    assert lab.database.effects == ["a", "b"]
    assert (lab.committed(0), lab.committed(1)) == (10, 2)
    assert lab.source.paused == {P0}
    snapshot = lab.pipeline.snapshot()
    assert snapshot.state is ConsumerState.RUNNING
    assert snapshot.reason.startswith(f"{TOPIC}-0 halted: 10 dead letters in a row")
    assert snapshot.waiting == {}
    assert lab.pipeline.halted is None


def test_a_large_batch_of_poison_is_not_all_dead_lettered_before_the_breaker_looks():
    lab = Lab(2)
    poisoned(lab, 5_000)
    lab.send("a", partition=1)
    lab.start(policies=replace(POLICIES, batch=BatchPolicy(maximum=10_000)))
    lab.turns(3)
    assert len(lab.dead) == 100
    assert lab.pipeline.snapshot().halted.keys() == {f"{TOPIC}-0"}
    assert lab.database.effects == ["a"]


def test_poison_over_twelve_partitions_halts_them_all_with_a_bounded_number_of_dead_letters():
    lab = Lab(12)
    lab.start()
    for _ in range(60):
        for partition in range(12):
            poisoned(lab, 15, partition)
        lab.turns(1)
    assert len(lab.pipeline.snapshot().halted) == 12
    assert lab.pipeline.snapshot().state is ConsumerState.HALTED
    assert len(lab.dead) < 700
    assert sum(lab.committed(partition) or 0 for partition in range(12)) == len(lab.dead)


def test_a_halt_outlives_its_process_and_moves_with_its_partition():
    lab = halted_lab()
    lab.pipeline.close(commit=True)
    lab.start(policies=POLICIES)
    lab.send("a", partition=1)
    lab.turns(4)
    assert lab.pipeline.snapshot().halted == {f"{TOPIC}-0": lab.database.halts[PART].reason}
    assert lab.database.effects == ["a"]
    lab.source.revoke_now(P0, P1)
    lab.source.assign_now(P0)
    lab.turns(4)
    assert lab.pipeline.snapshot().halted.keys() == {f"{TOPIC}-0"}
    assert len(lab.dead) == 10


def test_what_was_not_committed_before_a_halt_is_handled_again_up_to_it():
    lab = halted_lab()
    # A kill before the commits, and the progress of a step that stores none.
    lab.broker.committed.clear()
    lab.database.progress = dict.fromkeys(lab.database.progress, 0)
    lab.start(policies=POLICIES)
    lab.turns(8)
    assert lab.pipeline.snapshot().halted.keys() == {f"{TOPIC}-0"}
    assert lab.committed() == 10
    assert lab.dead == [*lab.dead[:10], *lab.dead[:10]]


def test_up_to_a_halt_may_be_nothing_but_a_gap():
    lab = Lab()
    lab.send("a")
    for _ in range(5):
        lab.broker.append_marker(TOPIC)
    lab.send("b")
    lab.database.halts[PART] = PartitionHalt(PART, 6, "by hand", 0.0)
    lab.start(policies=POLICIES)
    lab.turns(3)
    assert lab.database.effects == ["a"]
    assert lab.pipeline.snapshot().halted == {f"{TOPIC}-0": "by hand"}
    assert lab.committed() == 6


def test_a_halt_is_stored_as_soon_as_the_database_is_back_and_decided_of_then():
    lab = Lab(2)
    poisoned(lab, 15)
    lab.start(policies=POLICIES)
    lab.turns(2)
    lab.halts.away = TransientError("database: locked")
    lab.turns(6)
    assert lab.pipeline.snapshot().halted.keys() == {f"{TOPIC}-0"}
    assert lab.database.halts == {}
    lab.halts.away = None
    lab.turns(2)
    assert lab.database.halts[PART].offset == 10


def test_resumed_it_goes_on_where_it_stood_and_halts_again_at_as_much_poison():
    lab = halted_lab()
    decide(lab, Decision.RESUME)
    lab.turns(6)
    assert lab.database.effects == ["good1", "good2", "good3"]
    assert len(lab.dead) == 15
    assert lab.database.halts == {}
    poisoned(lab, 15)
    lab.turns(6)
    assert lab.database.halts[PART].offset == 28


def test_what_follows_is_dead_lettered_until_it_is_good_again_and_then_the_breaker_is_armed():
    lab = Lab(2)
    poisoned(lab, 50)
    lab.start(policies=POLICIES)
    lab.turns(6)
    decide(lab, Decision.DEAD_LETTER)
    lab.turns(12)
    assert len(lab.dead) == 50
    assert lab.database.halts[PART].decision is Decision.DEAD_LETTER
    # The decision holds for the next owner, too.
    lab.pipeline.close(commit=True)
    lab.start(policies=POLICIES)
    poisoned(lab, 20)
    lab.turns(10)
    assert len(lab.dead) == 70
    lab.send("good")
    lab.turns(3)
    assert lab.database.effects == ["good"]
    assert lab.database.halts == {}
    poisoned(lab, 40)
    lab.turns(10)
    assert len(lab.dead) == 80
    assert lab.database.halts[PART].decision is None


def test_skipped_it_goes_on_behind_and_nothing_in_between_is_processed():
    lab = halted_lab()
    decide(lab, Decision.SKIP, skip_to=16)
    lab.turns(6)
    assert lab.database.effects == ["good2", "good3"]
    assert len(lab.dead) == 10
    assert lab.committed() == 18
    assert lab.database.progress[PART] == 18
    assert lab.database.halts == {}


@pytest.mark.parametrize("decision", list(Decision))
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_decision_is_carried_out_once_whenever_its_process_is_killed(decision, turns):
    lab = halted_lab()
    decide(lab, decision, skip_to=15 if decision is Decision.SKIP else None)
    lab.turns(turns)
    lab.start(policies=POLICIES)
    lab.turns(10)
    assert lab.database.effects == ["good1", "good2", "good3"]
    assert len(set(lab.dead)) == (10 if decision is Decision.SKIP else 15)
    assert lab.database.halts == {}
    assert lab.committed() == 18


def test_a_skip_waits_for_a_database_that_is_away():
    lab = halted_lab()
    is_away = True

    def before(batch):
        if is_away:
            raise TransientError("database: locked")

    lab.step.before = before
    decide(lab, Decision.SKIP, skip_to=15)
    lab.turns(4)
    assert lab.pipeline.snapshot().halted
    assert lab.committed() == 10
    is_away = False
    lab.turns(6)
    assert lab.database.effects == ["good1", "good2", "good3"]


def test_a_group_that_was_set_beyond_its_halt_has_none_any_more():
    lab = halted_lab()
    lab.pipeline.close(commit=True)
    lab.broker.committed[GROUP, TOPIC, 0] = 16
    lab.start(policies=POLICIES)
    lab.turns(5)
    assert lab.database.effects == ["good2", "good3"]
    assert lab.database.halts == {}


def test_a_refused_dead_letter_halts_its_partition_alone():
    lab = Lab(2)
    lab.start(policies=POLICIES)
    lab.turns(2)
    lab.producer.refuse = KafkaError.TOPIC_AUTHORIZATION_FAILED
    lab.send("a", "bad", "b")
    lab.send("c", partition=1)
    lab.turns(3)
    assert sorted(lab.database.effects) == ["a", "c"]
    assert "TOPIC_AUTHORIZATION_FAILED" in lab.pipeline.snapshot().halted[f"{TOPIC}-0"]
    lab.producer.refuse = None
    decide(lab, Decision.RESUME)
    lab.turns(4)
    assert sorted(lab.database.effects) == ["a", "b", "c"]
    assert lab.dead == [b"bad"]
