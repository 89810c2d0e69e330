"""Records that a step sends on, in one transaction with the offsets behind them."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException

from gdsconsole.kafka.errors import FencedError
from gdsconsole.kafka.forwarding import transactional
from tests.kafka.fake_kafka import FakeTransactions
from tests.kafka.forwarding.lab import (
    ForwardingLab,
    evens,
    names,
)
from tests.kafka.lab import GROUP, TOPIC


def test_records_and_offsets_become_visible_together():
    lab = ForwardingLab(partitions=2)
    lab.send(*names(6))
    lab.send(*names(4), partition=1)
    seen = []

    class Watched(FakeTransactions):
        def commit_transaction(self, timeout: float = -1) -> None:
            seen.append((len(lab.sent_on), dict(lab.broker.committed)))
            super().commit_transaction(timeout)

    lab.in_transactions(kind=Watched)
    lab.turns(6)
    assert seen[0] == (0, {})
    assert Counter(lab.sent_on) == Counter(evens(6) + evens(4))
    assert (lab.committed_on(0), lab.committed_on(1)) == (6, 4)
    assert lab.source.commit_calls == []


@pytest.mark.parametrize("code", [KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID])
def test_a_member_that_was_evicted_aborts_and_reads_again(code):
    lab = ForwardingLab()
    lab.in_transactions()
    lab.turns(2)
    lab.send(*names(6))
    lab.out.refuse_offsets = KafkaError(code, "not a member", txn_requires_abort=True)
    lab.turns(3)
    assert lab.sent_on == []
    assert lab.broker.open == {}
    assert lab.committed_on() == 0
    lab.turns(10)
    assert lab.sent_on == evens(6)
    assert lab.committed_on() == 6
    assert len(lab.producers) == 2


def test_a_commit_without_an_answer_is_resolved_before_anything_is_read_again():
    lab = ForwardingLab()
    lab.send(*names(6))

    class Silent(FakeTransactions):
        def commit_transaction(self, timeout: float = -1) -> None:
            if len(lab.producers) > 1:
                return super().commit_transaction(timeout)
            # The brokers have it, and their answer is lost.
            super().commit_transaction(timeout)
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "no answer"))

    lab.in_transactions(kind=Silent)
    lab.turns(10)
    assert lab.sent_on == evens(6)
    assert lab.committed_on() == 6


def test_a_commit_that_was_slow_puts_the_next_one_off_by_a_second_at_most(monkeypatch):
    lab = ForwardingLab()
    slow = iter(range(0, 100_000, 6))
    monkeypatch.setattr(transactional, "time", SimpleNamespace(monotonic=lambda: next(slow)))
    lab.in_transactions()
    lab.turns(2)
    lab.send(*names(4))
    lab.turns(3)
    lab.send("m4")
    lab.turns(2)
    assert lab.sent_on == evens(6)


def test_partitions_that_were_lost_take_the_open_transaction_with_them():
    """Another consumer has them by now, and sends on again what was sent of them here."""
    lab = ForwardingLab(partitions=2)
    lab.in_transactions()
    lab.turns(2)
    lab.send(*names(4))
    lab.send("m100", "m102", partition=1)
    lab.hold_commits()
    lab.turns(3, every_s=0.01)
    assert len(lab.broker.open[f"{GROUP}-0"].records) == 4
    lab.source.lose_now((TOPIC, 1))
    lab.turns(10)
    assert lab.sent_on == evens(4)
    assert (lab.committed_on(0), lab.committed_on(1)) == (4, 0)


def test_a_revocation_commits_the_whole_transaction_first():
    lab = ForwardingLab(partitions=2)
    lab.in_transactions()
    lab.turns(2)
    lab.send(*names(4))
    lab.send(*names(4), partition=1)
    lab.hold_commits()
    lab.turns(3, every_s=0.01)
    assert lab.sent_on == []
    lab.source.revoke_now((TOPIC, 1))
    lab.turns(1, every_s=0.01)
    assert Counter(lab.sent_on) == Counter(evens(4) * 2)
    assert (lab.committed_on(0), lab.committed_on(1)) == (4, 4)


def test_a_batch_that_is_handled_again_is_in_the_transaction_once():
    lab = ForwardingLab()
    lab.send(*names(8))
    lab.in_transactions(failures=3)
    lab.turns(20)
    assert lab.sent_on == evens(8)
    assert lab.committed_on() == 8


def test_a_producer_that_was_replaced_ends_the_consumer():
    lab = ForwardingLab()
    lab.in_transactions()
    lab.turns(2)
    lab.send(*names(4))
    lab.out.refuse_commit = KafkaError(KafkaError._FENCED, "a newer producer", fatal=True)
    with pytest.raises(FencedError):
        lab.turns(4)
    lab.pipeline.close(commit=False)
    assert lab.committed_on() == 0


@pytest.mark.parametrize("refused", ["refuse_offsets", "refuse_commit"])
def test_a_transaction_that_was_open_too_long_is_done_again_by_another_producer(refused):
    """Its coordinator ends it, and locks the producer out as if there were a successor."""
    lab = ForwardingLab()
    lab.in_transactions(clock=lambda: lab.now)
    lab.turns(2)
    lab.send(*names(4))
    lab.hold_commits()
    lab.turns(1)
    assert lab.broker.open
    # A dead letter, or an offset, waited for a leader.
    lab.now += 200
    setattr(lab.out, refused, KafkaError(KafkaError._FENCED, "fenced by a newer instance", fatal=True))
    lab.turns(10)
    assert len(lab.producers) == 2
    assert lab.sent_on == evens(4)
    assert lab.committed_on() == 4


def test_a_fatal_error_of_the_producer_is_none_of_the_consumer():
    lab = ForwardingLab()
    lab.in_transactions()
    lab.turns(2)
    lab.send(*names(4))
    lab.out.refuse_offsets = KafkaError(KafkaError._INCONSISTENT, "lost count", fatal=True)
    lab.turns(10)
    assert lab.sent_on == evens(4)
    assert lab.committed_on() == 4


def test_a_producer_that_waits_for_its_id_is_asked_again_and_no_other_is_made(monkeypatch):
    """Whichever of two the coordinator heard last would lock the other one out."""
    monkeypatch.setattr(transactional, "INIT_TIMEOUT_S", 0.0)

    class Waits(FakeTransactions):
        left = 3

        def init_transactions(self, timeout: float = -1) -> None:
            if Waits.left:
                Waits.left -= 1
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "no coordinator", retriable=True))
            super().init_transactions(timeout)

    lab = ForwardingLab()
    lab.send(*names(4))
    lab.in_transactions(kind=Waits)
    lab.turns(20)
    assert lab.sent_on == evens(4)
    assert len(lab.producers) == 1


def test_closing_without_a_commit_leaves_nothing_open_or_visible():
    lab = ForwardingLab()
    lab.in_transactions()
    lab.turns(2)
    lab.send(*names(4))
    lab.hold_commits()
    lab.turns(2, every_s=0.01)
    assert lab.broker.open
    lab.pipeline.close(commit=False)
    assert lab.broker.open == {}
    assert lab.sent_on == []
    assert lab.committed_on() == 0
