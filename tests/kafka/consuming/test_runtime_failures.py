"""Steps that fail, for a while or for good, one `run_once` at a time."""

from __future__ import annotations

from datetime import datetime

from confluent_kafka import KafkaError

from gdsconsole.kafka.consuming import batch_handler
from gdsconsole.kafka.consuming.batching import BatchPolicy
from gdsconsole.kafka.consuming.equipment import Policies
from gdsconsole.kafka.errors import FailureKind, TransientError
from gdsconsole.kafka.status import ConsumerState
from tests.kafka.lab import DLQ, P0, TOPIC, Lab
from tests.kafka.steps import MemoryFailures, Refuses, StoreStep

# Transient failures.


def test_a_transient_failure_pauses_and_retries_for_ever_while_polling_goes_on():
    lab = Lab()
    lab.send("a", "b")
    outage = Refuses("a", TransientError("database: locked"), times=12)
    lab.start(StoreStep(lab.database, before=outage))
    lab.turns(2)
    snapshot = lab.pipeline.snapshot()
    assert snapshot.state is ConsumerState.RETRYING
    assert "database: locked" in snapshot.reason
    assert P0 in lab.source.paused
    polls = lab.source.polls
    lab.turns(400)
    assert lab.source.polls - polls >= 400
    assert lab.database.effects == ["a", "b"]
    assert lab.dead == []
    assert lab.committed() == 2
    assert lab.pipeline.snapshot().state is ConsumerState.RUNNING
    assert lab.database.failures == {}


def test_an_outage_with_poison_in_the_batch_dead_letters_it_once():
    lab = Lab()
    lab.send("a", "bad1", "b")
    lab.start(StoreStep(lab.database, before=Refuses("a", TransientError("locked"), times=5)))
    lab.turns(100)
    assert lab.dead == [b"bad1"]
    assert lab.database.effects == ["a", "b"]


def test_the_other_partitions_go_on():
    lab = Lab(partitions=2)
    lab.start(StoreStep(lab.database, before=Refuses("a", TransientError("locked"))))
    lab.turns(2)
    lab.send("a", partition=0)
    lab.turns(1)
    lab.send("b", partition=1)
    lab.turns(2)
    assert lab.database.effects == ["b"]
    assert lab.pipeline.snapshot().waiting.keys() == {f"{TOPIC}-0"}


def test_a_sign_that_the_outage_is_over_ends_the_wait():
    lab = Lab()
    lab.send("a")
    lab.start(StoreStep(lab.database, before=Refuses("a", TransientError("locked"), times=6)))
    lab.turns(32)
    assert lab.database.effects == []
    lab.pipeline.retry_now()
    lab.turns(1)
    assert lab.database.effects == ["a"]


def test_a_record_on_its_way_while_its_partition_is_paused_is_not_handled():
    lab = Lab()
    lab.send("a", "b", "c")
    lab.start(
        StoreStep(lab.database, before=Refuses("a", TransientError("locked"), times=1)),
        policies=Policies(batch=BatchPolicy(minimum=1, maximum=1)),
    )
    lab.turns(1, every_s=0.0)
    lab.pipeline.run_once()
    lab.source.still_deliver(P0, 1)
    lab.pipeline.run_once()
    assert lab.database.effects == []
    lab.turns(8)
    assert lab.database.effects == ["a", "b", "c"]


def test_a_seek_that_fails_is_done_again_before_anything_is_read():
    lab = Lab()
    lab.send("a", "b", "c")
    lab.start(
        StoreStep(lab.database, before=Refuses("a", TransientError("locked"), times=1)),
        policies=Policies(batch=BatchPolicy(minimum=1, maximum=1)),
    )
    lab.turns(1)
    lab.source.refuse_seeks = KafkaError._TIMED_OUT
    lab.turns(3)
    assert lab.database.effects == []
    lab.source.refuse_seeks = None
    lab.turns(8)
    assert lab.database.effects == ["a", "b", "c"]


# Unknown failures.


def test_an_unknown_failure_is_isolated_retried_and_dead_lettered():
    lab = Lab()
    lab.send("a", "b", "c")
    lab.start(StoreStep(lab.database, before=Refuses("b", RuntimeError("a bug"))))
    lab.turns(2, every_s=0.0)
    assert lab.database.effects == ["a"]
    (failure,) = lab.database.failures.values()
    assert (failure.offset, failure.attempt, failure.kind) == (1, 1, FailureKind.UNKNOWN)
    lab.turns(10)
    assert lab.database.effects == ["a", "c"]
    assert lab.dead == [b"b"]
    assert lab.committed() == 3
    assert lab.database.failures == {}
    (record,) = lab.broker.logs[DLQ, 0].records.values()
    headers = dict(record.headers())
    assert headers["gds.dlq.attempt"] == b"3"
    assert headers["gds.dlq.error"] == b"a bug"
    first, last = (
        datetime.fromisoformat(headers[f"gds.dlq.failure.{which}"].decode()) for which in ("first", "last")
    )
    assert 6 <= (last - first).total_seconds() <= 9


def test_attempts_and_the_wait_move_with_the_partition():
    lab = Lab()
    lab.send("a", "b")
    lab.start(StoreStep(lab.database, before=Refuses("a", RuntimeError("a bug"))))
    lab.turns(5)
    (failure,) = lab.database.failures.values()
    assert failure.attempt == 2
    tried = lab.now
    lab.start(StoreStep(lab.database, before=Refuses("a", RuntimeError("a bug"))))
    lab.turns(1, every_s=0.0)
    lab.pipeline.run_once()
    assert lab.pipeline.snapshot().state is ConsumerState.RETRYING
    lab.turns(10)
    assert lab.dead == [b"a"]
    assert lab.database.effects == ["b"]
    assert lab.now - tried < 12


def test_an_unknown_failure_that_passes_leaves_no_trace():
    lab = Lab()
    lab.send("a", "b")
    lab.start(StoreStep(lab.database, before=Refuses("a", RuntimeError("a fluke"), times=3)))
    lab.turns(20)
    assert lab.database.effects == ["a", "b"]
    assert lab.dead == []
    assert lab.database.failures == {}


def test_a_long_search_for_the_culprit_goes_on_in_the_next_turn(monkeypatch):
    monkeypatch.setattr("gdsconsole.kafka.consuming.batch_handler.CAREFUL_S", 0.0)
    lab = Lab()
    lab.send(*[f"m{n}" for n in range(10)])
    lab.start(StoreStep(lab.database, before=Refuses("m5", RuntimeError("a bug"))))
    lab.turns(40)
    assert lab.database.effects == [f"m{n}" for n in range(10) if n != 5]
    assert lab.dead == [b"m5"]


def test_a_failure_store_that_is_away_changes_nothing_for_this_owner():
    lab = Lab()
    lab.send("a", "b")

    class Away:
        def load(self, partitions):
            return {}

        def save(self, failure):
            raise TransientError("database: locked")

        def clear(self, partition):
            raise TransientError("database: locked")

    lab.start(StoreStep(lab.database, before=Refuses("a", RuntimeError("a bug"))), failures=Away())
    lab.turns(12)
    assert lab.dead == [b"a"]
    assert lab.database.effects == ["b"]


def test_an_outage_keeps_no_turn_for_each_of_its_partitions(monkeypatch):
    """Every try may wait for a lock, and every failure that is stored: one of each, then poll again."""
    monkeypatch.setattr(batch_handler, "CAREFUL_S", 0.0)
    lab = Lab(partitions=6)
    for partition in range(6):
        lab.send(f"a{partition}", partition=partition)
    tries, saves = [], []

    class Away(MemoryFailures):
        def save(self, failure):
            saves.append(failure)
            raise TransientError("database: locked")

    def locked(batch):
        tries.append(batch)
        if lab.now < 1_000_020:
            raise TransientError("database: locked")

    lab.start(StoreStep(lab.database, before=locked), failures=Away(lab.database))
    for _ in range(12):
        before = len(tries), len(saves)
        lab.turns(1)
        assert len(tries) <= before[0] + 1
        assert len(saves) <= before[1] + 1
    assert lab.database.effects == []
    lab.turns(60)
    assert sorted(lab.database.effects) == [f"a{n}" for n in range(6)]


def test_a_step_that_fails_without_a_record_halts():
    lab = Lab()
    lab.send("bad1")

    def broken(batch):
        raise RuntimeError("a bug for any batch")

    lab.start(StoreStep(lab.database, before=broken))
    lab.turns(12)
    snapshot = lab.pipeline.snapshot()
    assert snapshot.state is ConsumerState.HALTED
    assert f"can't move past {TOPIC}-0@0" in snapshot.reason
    assert list(lab.database.progress.values()) == [0]
