"""Fencing, rebalances and commits that fail, one `run_once` at a time."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException

from gdsconsole.kafka.consuming.batching import BatchPolicy
from gdsconsole.kafka.consuming.equipment import Policies
from gdsconsole.kafka.errors import FencedError
from tests.kafka.lab import P0, P1, TOPIC, Lab
from tests.kafka.steps import StoreStep


def test_a_fenced_batch_is_dropped_and_reading_goes_on_at_the_stored_progress():
    lab = Lab()
    lab.send("a", "b", "c", "d")
    lab.start(policies=Policies(batch=BatchPolicy(minimum=1, maximum=1)))
    lab.turns(2)
    assert lab.database.effects == ["a"]
    (part,) = lab.database.progress
    lab.database.progress[part] = 3
    lab.database.effects += ["b", "c"]
    lab.turns(4)
    assert lab.database.effects == ["a", "b", "c", "d"]
    assert lab.pipeline.counters.fenced == 1


def test_a_revoked_partition_is_committed_first_and_its_records_are_not_handled_any_more():
    lab = Lab(partitions=2)
    lab.send("a", partition=0)
    lab.send("b", partition=1)
    lab.start()
    lab.turns(1, every_s=0.0)
    lab.pipeline.run_once()
    lab.source.revoke_now(P1)
    lab.source.still_deliver(P1, 0)
    lab.turns(1)
    assert lab.committed(1) == 1
    assert lab.step.revocations == [part for part in lab.database.progress if part.partition == 1]
    lab.send("c", partition=1)
    lab.turns(3)
    assert sorted(lab.database.effects) == ["a", "b"]
    assert lab.pipeline.snapshot().partitions == [f"{TOPIC}-0"]


def test_nothing_of_a_lost_partition_is_committed():
    lab = Lab()
    lab.send("a")
    lab.start()
    lab.source.refuse_commits = KafkaError.REQUEST_TIMED_OUT
    lab.turns(2)
    lab.source.refuse_commits = None
    lab.source.commit_calls.clear()
    lab.source.lose_now(P0)
    lab.turns(3)
    lab.pipeline.close(commit=True)
    assert lab.source.commit_calls == []
    assert lab.database.effects == ["a"]


def test_an_evicted_consumer_drops_what_was_prefetched():
    lab = Lab()
    lab.send("a", "b", "c")

    class Plain(StoreStep):
        fenced = False

    lab.start(Plain(lab.database), policies=Policies(batch=BatchPolicy(minimum=1, maximum=1)))
    lab.source.refuse_commits = KafkaError.UNKNOWN_MEMBER_ID
    lab.turns(2, every_s=0.05)
    handled = list(lab.database.effects)
    lab.turns(10, every_s=0.1)
    assert lab.database.effects == handled
    assert lab.pipeline.counters.commit_failures == 1
    lab.source.refuse_commits = None
    lab.turns(12)
    assert lab.database.effects == ["a", "b", "c"]


@pytest.mark.parametrize("code", [KafkaError.ILLEGAL_GENERATION, KafkaError.REBALANCE_IN_PROGRESS])
def test_a_commit_refused_while_a_partition_is_assigned_and_not_yet_placed(code):
    lab = Lab(partitions=2)
    lab.send("a", "b", partition=0)
    lab.send("c", partition=1)
    lab.start()
    lab.turns(2, every_s=0.05)
    lab.source.revoke_now(P1)
    lab.turns(1)
    lab.send("d", partition=0)
    lab.source.refuse_commits = code
    lab.turns(1, every_s=0.2)
    assert lab.source.commit_calls[-1] == {P0: 3}
    # The refusal and the new partition are told by the same poll.
    lab.source.assign_now(P1)
    lab.turns(1)
    lab.source.refuse_commits = None
    lab.turns(10)
    assert sorted(lab.database.effects) == ["a", "b", "c", "d"]
    assert (lab.committed(0), lab.committed(1)) == (3, 1)


def test_a_transient_commit_failure_is_asked_for_again():
    lab = Lab()
    lab.send("a")
    lab.start()
    lab.source.refuse_commits = KafkaError.COORDINATOR_LOAD_IN_PROGRESS
    lab.turns(3)
    lab.source.refuse_commits = None
    lab.turns(3)
    assert lab.committed() == 1


def test_placing_waits_for_the_group_coordinator():
    lab = Lab()
    lab.send("a")
    lab.start()
    lab.source.refuse_committed = KafkaError.COORDINATOR_NOT_AVAILABLE
    lab.turns(5)
    assert lab.database.effects == []
    assert "COORDINATOR_NOT_AVAILABLE" in lab.pipeline.snapshot().reason
    lab.source.refuse_committed = None
    lab.turns(4)
    assert lab.database.effects == ["a"]


def test_what_retention_deleted_is_counted_as_lost_and_reading_goes_on():
    lab = Lab()
    lab.send("a", "b")
    lab.start()
    lab.turns(3)
    lab.pipeline.close(commit=True)
    lab.send("c", "d", "e")
    lab.broker.delete_before(TOPIC, 0, 4)
    lab.start()
    lab.turns(5)
    assert lab.database.effects == ["a", "b", "e"]
    assert lab.pipeline.counters.lost == 2
    assert lab.committed() == 5


def test_a_topic_made_again_is_read_from_its_start():
    lab = Lab()
    lab.send("a", "b", "c")
    lab.start()
    lab.turns(3)
    lab.pipeline.close(commit=True)
    lab.broker.logs[P0].records.clear()
    lab.broker.logs[P0].end = 0
    lab.send("d")
    lab.start(topic_id="topic-2")
    lab.turns(5)
    assert lab.database.effects == ["a", "b", "c", "d"]
    assert lab.committed() == 1


def test_a_member_that_was_replaced_ends():
    lab = Lab()
    lab.start()
    lab.turns(2)
    error = KafkaError(KafkaError._FATAL, "Static consumer fenced by other consumer with same id", fatal=True)
    lab.source.hooks.on_error(error)
    with pytest.raises(FencedError):
        lab.pipeline.run_once()


def test_a_client_that_can_not_go_on_ends_the_consumer():
    lab = Lab()
    lab.start()
    lab.source.hooks.on_error(KafkaError(KafkaError._FATAL, "out of sequence", fatal=True))
    with pytest.raises(KafkaException):
        lab.pipeline.run_once()


def test_closing_without_a_commit_commits_nothing():
    lab = Lab()
    lab.send("a")
    lab.start()
    lab.source.refuse_commits = KafkaError.REQUEST_TIMED_OUT
    lab.turns(2)
    lab.source.refuse_commits = None
    lab.source.commit_calls.clear()
    lab.pipeline.close(commit=False)
    assert lab.source.commit_calls == []
    assert lab.source.is_closed
    assert lab.step.is_closed
