"""The runtime's states, one `run_once` at a time."""

from __future__ import annotations

from datetime import datetime

import pytest
from confluent_kafka import KafkaError, KafkaException

from gdsconsole.kafka import handling
from gdsconsole.kafka.batching import BatchPolicy
from gdsconsole.kafka.dead_letters import DecodedDeadLetter, ReplayMark, decode, replay_headers
from gdsconsole.kafka.errors import FailureKind, FencedError, InvalidMessage, TransientError
from gdsconsole.kafka.failures import BreakerPolicy
from gdsconsole.kafka.handling import Policies
from gdsconsole.kafka.status import Meter, State
from gdsconsole.kafka.steps import Batch
from tests.kafka.lab import DLQ, GROUP, TOPIC, Lab
from tests.kafka.steps import MemoryFailures, StoreStep

P0, P1 = (TOPIC, 0), (TOPIC, 1)


class Refuses:
    """A step's `before` that raises `error` for batches with `culprit`, `times` times."""

    def __init__(self, culprit: str, error: Exception, times: int = 1_000_000) -> None:
        self.culprit, self.error, self.left = culprit, error, times

    def __call__(self, batch: Batch[str]) -> None:
        if self.culprit in batch.values and self.left > 0:
            self.left -= 1
            raise self.error


# Reading and committing.


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


# Poison.


def test_poison_is_dead_lettered_at_once_and_its_neighbours_pass():
    lab = Lab()
    lab.send("a", "bad1", "b", None, "c")
    lab.start()
    lab.turns(3)
    assert lab.database.effects == ["a", "b", "c"]
    assert lab.dead == [b"bad1", None]
    assert lab.committed() == 5
    assert lab.pipeline.counters.dead_letters == 2


def test_a_batch_of_poison_alone_moves_the_stored_progress_too():
    lab = Lab()
    lab.send("bad1", "bad2")
    lab.start()
    lab.turns(3)
    assert list(lab.database.progress.values()) == [2]
    assert lab.committed() == 2


def test_a_dead_letter_is_acknowledged_before_anything_moves_past_it():
    lab = Lab()
    lab.send("bad1", "a")
    lab.start()
    lab.producer.refuse = KafkaError._MSG_TIMED_OUT
    lab.turns(3)
    assert lab.dead == []
    assert list(lab.database.progress.values()) == [0]
    assert lab.committed() in (None, 0)
    assert lab.pipeline.snapshot().state is State.BACKOFF
    lab.producer.refuse = None
    lab.turns(10)
    assert lab.dead == [b"bad1"]
    assert lab.database.effects == ["a"]


def test_a_refused_dead_letter_halts_with_nothing_committed_past_it():
    lab = Lab()
    lab.send("a")
    lab.start()
    lab.turns(3)
    lab.send("bad1", "b")
    lab.producer.refuse = KafkaError.TOPIC_AUTHORIZATION_FAILED
    lab.turns(2)
    snapshot = lab.pipeline.snapshot()
    assert snapshot.state is State.HALTED
    assert "TOPIC_AUTHORIZATION_FAILED" in snapshot.reason
    lab.pipeline.close(commit=True)
    assert lab.committed() == 1
    assert lab.database.effects == ["a"]


def test_a_dead_letter_too_large_for_its_topic_is_parked():
    lab = Lab()
    lab.send("bad1", "a")
    lab.start()
    lab.producer.refuse = KafkaError.MSG_SIZE_TOO_LARGE
    lab.turns(3)
    assert [(one.letter.topic, one.letter.offset) for one in lab.parked] == [(TOPIC, 0)]
    assert lab.database.effects == ["a"]
    assert lab.committed() == 2
    assert lab.pipeline.counters.parked == 1


def test_a_pipeline_without_a_dead_letter_topic_halts_at_poison():
    lab = Lab()
    lab.send("bad1")
    lab.start(dead_letters=False)
    lab.turns(2)
    assert "no dead letter topic" in (lab.pipeline.halted or "")
    assert lab.committed() in (None, 0)


def test_a_step_may_find_poison_itself():
    lab = Lab()
    lab.send("a", "b", "c")
    lab.start(StoreStep(lab.database, before=Refuses("b", InvalidMessage("b: not that one"))))
    lab.turns(3)
    assert lab.database.effects == ["a", "c"]
    assert lab.dead == [b"b"]


def test_a_dead_letter_says_whether_any_group_could_have_read_it():
    lab = Lab()

    def refuse(batch):
        if "ugly" in batch.values:
            raise InvalidMessage("ugly")

    lab.send("bad bytes", "ugly")
    lab.start(StoreStep(lab.database, before=refuse))
    lab.turns(6)
    letters = [decode(record) for record in lab.broker.logs[DLQ, 0].records.values()]
    assert {letter.value: letter.stage for letter in letters} == {b"bad bytes": "decode", b"ugly": "step"}


def test_a_replay_for_another_group_is_passed_over_and_one_for_this_group_or_any_is_not():
    lab = Lab()
    letter = DecodedDeadLetter(form="headers", key=None, value=None, headers=[])
    for value, group in (("theirs", "gds-others"), ("ours", GROUP), ("anybody's", None)):
        headers = replay_headers(letter, ReplayMark("a-replay", 1, group))
        lab.broker.append(TOPIC, value.encode(), headers=headers)
    lab.send("plain")
    lab.start()
    lab.turns(3)
    assert lab.database.effects == ["ours", "anybody's", "plain"]
    assert lab.committed() == 4
    lab.broker.append(TOPIC, b"bad", headers=replay_headers(letter, ReplayMark("b", 1, "gds-others")))
    lab.turns(3)
    assert (lab.dead, lab.committed()) == ([], 5)


def test_a_dead_letter_says_where_it_comes_from_and_why():
    lab = Lab()
    lab.send("a", "bad1")
    lab.start()
    lab.turns(3)
    (record,) = lab.broker.logs[DLQ, 0].records.values()
    headers = dict(record.headers())
    assert headers["gds.dlq.topic"] == TOPIC.encode()
    assert headers["gds.dlq.offset"] == b"1"
    assert headers["gds.dlq.error.type"] == b"InvalidMessage"
    assert headers["gds.dlq.attempt"] == b"1"
    assert headers["gds.dlq.topic.id"] == b"topic-1"


# Transient failures.


def test_a_transient_failure_pauses_and_retries_for_ever_while_polling_goes_on():
    lab = Lab()
    lab.send("a", "b")
    outage = Refuses("a", TransientError("database: locked"), times=12)
    lab.start(StoreStep(lab.database, before=outage))
    lab.turns(2)
    snapshot = lab.pipeline.snapshot()
    assert snapshot.state is State.BACKOFF
    assert "database: locked" in snapshot.reason
    assert P0 in lab.source.paused
    polls = lab.source.polls
    lab.turns(400)
    assert lab.source.polls - polls >= 400
    assert lab.database.effects == ["a", "b"]
    assert lab.dead == []
    assert lab.committed() == 2
    assert lab.pipeline.snapshot().state is State.RUNNING
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
    assert lab.pipeline.snapshot().state is State.BACKOFF
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
    monkeypatch.setattr("gdsconsole.kafka.handling.CAREFUL_S", 0.0)
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
    monkeypatch.setattr(handling, "CAREFUL_S", 0.0)
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
    assert "can't move past" in (lab.pipeline.halted or "")
    assert list(lab.database.progress.values()) == [0]


# The breaker.


def test_poison_alone_halts_and_the_dead_letter_topic_is_bounded():
    lab = Lab()
    lab.send(*[f"bad{n}" for n in range(2000)])
    breaker = BreakerPolicy(max_dead_letters=100, min_records=10_000)
    lab.start(policies=Policies(breaker=breaker, batch=BatchPolicy(minimum=10, maximum=50)))
    lab.pipeline.run(stop=lambda: False)
    assert "dead letters in 60 s" in (lab.pipeline.halted or "")
    assert len(lab.dead) == 150
    assert lab.committed() == 150


# Fencing, rebalances and commits.


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


def test_a_client_that_can_not_go_on_ends_the_copy():
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


def test_an_error_of_the_clients_is_the_reason_until_records_come_or_it_is_old():
    lab = Lab()
    lab.start()
    lab.turns(2)
    lab.source.hooks.on_error(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    assert "_ALL_BROKERS_DOWN" in lab.pipeline.snapshot().reason
    lab.now += 31
    assert lab.pipeline.snapshot().reason == ""
    lab.source.say(KafkaError.UNKNOWN_TOPIC_OR_PART)
    lab.turns(1)
    assert "UNKNOWN_TOPIC_OR_PART" in lab.pipeline.snapshot().reason
    lab.send("a")
    lab.turns(1)
    assert lab.pipeline.snapshot().reason == ""


def test_a_tick_that_fails_is_the_reason_and_nothing_more():
    lab = Lab()

    class Ticking(StoreStep):
        def tick(self, now):
            raise TransientError("database: locked")

    lab.start(Ticking(lab.database))
    lab.send("a")
    lab.turns(3)
    assert lab.database.effects == ["a"]
    assert "database: locked" in lab.pipeline.snapshot().reason


def test_the_rate_is_unknown_before_it_can_be_known():
    lab = Lab()
    lab.start()
    assert lab.pipeline.snapshot().rate_in is None
    lab.send(*[f"m{n}" for n in range(100)])
    lab.turns(3)
    rate = lab.pipeline.snapshot().rate_in
    assert rate == pytest.approx(100 / 3)


def test_the_rate_out_is_what_the_step_wrote_and_unknown_where_it_does_not_count():
    lab = Lab()
    lab.start()
    lab.send("a", "b")
    lab.turns(3)
    assert lab.pipeline.snapshot().rate_out is None

    class Counting(StoreStep):
        @property
        def written(self) -> int:
            return len(self.database.effects) // 2

    counting = Lab()
    counting.start(Counting(counting.database))
    assert counting.pipeline.snapshot().rate_out is None
    counting.send(*[f"m{n}" for n in range(100)])
    counting.turns(3)
    assert counting.pipeline.snapshot().rate_out == pytest.approx(50 / 3)


def test_the_rate_of_batches_every_five_seconds_is_that_of_their_records():
    meter = Meter(window_s=10.0)
    rates = [meter.read(1_000 * (second // 5), float(second)) for second in range(60)]
    assert rates[0] is None
    assert all(rate == pytest.approx(200, abs=100) for rate in rates[20:])
    assert sum(rate or 0 for rate in rates[20:]) / 40 == pytest.approx(200, rel=0.05)


@pytest.mark.parametrize(
    ("policy", "over_s"),
    [(BatchPolicy(), 5), (BatchPolicy(linger_s=4.0), 8), (BatchPolicy(enough=10, wait_s=6.0), 12)],
)
def test_a_rate_tells_of_all_that_came_since_the_last_was_kept(policy: BatchPolicy, over_s: int):
    """Every 5 s one is kept for the sparklines, and pages show the newest: a burst is in one of them."""
    lab = Lab()
    lab.start(policies=Policies(batch=policy))

    def rates(seconds: int) -> list[float | None]:
        found = []
        for _ in range(seconds):
            lab.turns(1)
            found.append(lab.pipeline.snapshot().rate_in)
        return found

    rates(30)
    lab.send(*[f"m{n}" for n in range(60)])
    told = rates(25)
    held = [rate for rate in told if rate]
    assert held == pytest.approx([60 / over_s] * over_s)
    assert told[-1] == 0
