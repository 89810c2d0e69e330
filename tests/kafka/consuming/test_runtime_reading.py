"""Where the runtime begins to read, how much at once, and what it commits: one `run_once` at a time."""

from __future__ import annotations

from confluent_kafka import KafkaError

from gdsconsole.kafka.consuming.batching import BatchPolicy
from gdsconsole.kafka.consuming.equipment import Policies
from tests.kafka.lab import TOPIC, Lab
from tests.kafka.steps import StoreStep


def test_a_first_start_reads_from_the_logs_start_and_commits_to_its_end():
    lab = Lab()
    lab.send("a", "b", "c")
    lab.broker.delete_before(TOPIC, 0, 1)
    lab.start()
    lab.turns(4)
    assert lab.database.effects == ["b", "c"]
    assert lab.committed() == 3
    assert lab.pipeline.counters.lost == 0


def test_a_first_start_seeks_to_the_offset_of_the_logs_start():
    """By its number: a seek to "the beginning" that a resume follows stands still for a second."""
    lab = Lab()
    lab.send("a", "b", "c", "d")
    lab.broker.delete_before(TOPIC, 0, 2)
    lab.start()
    lab.turns(3)
    assert lab.source.seeks == [2]
    assert lab.database.effects == ["c", "d"]
    assert lab.pipeline.counters.lost == 0


def test_a_restart_goes_on_where_the_commit_is():
    lab = Lab()
    lab.send("a", "b")
    lab.start()
    lab.turns(3)
    lab.pipeline.close(commit=True)
    lab.send("c")
    lab.start()
    lab.turns(3)
    assert lab.database.effects == ["a", "b", "c"]


def test_stored_progress_ahead_of_the_commit_wins():
    lab = Lab()
    lab.send("a", "b", "c")
    lab.start()
    lab.source.refuse_commits = KafkaError.COORDINATOR_NOT_AVAILABLE
    lab.turns(3)
    assert lab.committed() is None
    lab.start()
    lab.turns(3)
    assert lab.database.effects == ["a", "b", "c"]
    assert lab.committed() == 3


def test_transaction_markers_at_the_end_leave_no_lag():
    lab = Lab()
    lab.send("a")
    lab.broker.append_marker(TOPIC)
    lab.start()
    lab.turns(4)
    assert lab.committed() == 2
    lab.start()
    lab.turns(2)
    lab.send("b")
    lab.turns(3)
    assert lab.database.effects == ["a", "b"]
    assert lab.committed() == 3


def test_a_step_without_stored_progress_goes_by_the_commits():
    lab = Lab()
    lab.send("a", "b")

    class Plain(StoreStep):
        def assigned(self, partitions):
            return {}

        def handle(self, batch):
            self.database.effects += batch.values
            return False

    lab.start(Plain(lab.database))
    lab.turns(3)
    assert lab.committed() == 2
    lab.start(Plain(lab.database))
    lab.send("c")
    lab.turns(3)
    assert lab.database.effects == ["a", "b", "c"]


def test_commits_are_asked_for_a_few_times_a_second_however_many_batches():
    lab = Lab()
    lab.start(policies=Policies(batch=BatchPolicy(minimum=1, maximum=1)))
    lab.send(*[f"m{n}" for n in range(200)])
    lab.turns(210, every_s=0.005)
    assert len(lab.database.effects) == 200
    assert 5 <= len(lab.source.commit_calls) <= 15


def test_batches_shrink_under_a_slow_store_and_are_bounded_anyway():
    lab = Lab()
    lab.send(*[f"m{n}" for n in range(100)])
    lab.start(policies=Policies(batch=BatchPolicy(minimum=5, maximum=40, target_s=0.0)))
    lab.turns(20)
    assert max(lab.step.batches) <= 40
    assert lab.pipeline.snapshot().batch_limit == 5
