"""Records that a step sends on, and the offsets committed behind them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from gdsconsole.kafka.config import ClientSettings
from gdsconsole.kafka.consuming.batch_handler import Policies
from gdsconsole.kafka.consuming.batching import BatchPolicy
from gdsconsole.kafka.errors import FencedError, TransientError
from gdsconsole.kafka.forwarding import transactional
from gdsconsole.kafka.forwarding.delivery import AfterDelivery
from gdsconsole.kafka.forwarding.forward_step import ForwardStep
from gdsconsole.kafka.forwarding.transactional import InTransactions
from gdsconsole.kafka.status import ConsumerState
from tests.kafka.fake_kafka import FakeBroker, FakeProducer, FakeSource, FakeTransactions
from tests.kafka.lab import GROUP, TOPIC, Lab

TARGET = "gds.alerts.production"
NOWHERE = ClientSettings("127.0.0.1:9")
SMALL = Policies(batch=BatchPolicy(minimum=1, maximum=4))


def every_second(values: Sequence[str]) -> list[int]:
    return [position for position, value in enumerate(values) if int(value[1:]) % 2 == 0]


class Flaky(ForwardStep[str]):
    """Sends a batch on and then fails, so many times."""

    failures = 0

    def handle(self, batch: Any) -> bool:
        super().handle(batch)
        if self.failures:
            self.failures -= 1
            raise TransientError("the database is away")
        return False


class OnwardLab(Lab):
    """A pipeline that sends every second record on."""

    def __init__(self, partitions: int = 1) -> None:
        super().__init__(partitions)
        self.broker = FakeBroker({TOPIC: partitions, TARGET: 1, "gds.metrics.dlq": 1})
        self.out: Any = None
        self.producers: list[Any] = []

    def after_delivery(self, source: type[FakeSource] = FakeSource, failures: int = 0) -> None:
        self.out = FakeProducer(self.broker)
        self.begin(AfterDelivery(self.out), source, failures)  # type: ignore[arg-type]

    def in_transactions(
        self,
        source: type[FakeSource] = FakeSource,
        failures: int = 0,
        kind: type[FakeTransactions] = FakeTransactions,
        **how: Any,
    ) -> None:
        def open_producer() -> Any:
            self.out = kind(self.broker, f"{GROUP}-0")
            self.producers.append(self.out)
            return self.out

        self.begin(InTransactions(open_producer, NOWHERE, **how), source, failures)

    def begin(self, onward: Any, source: type[FakeSource], failures: int) -> None:
        step = Flaky(onward, topic=TARGET, choose=every_second)
        step.failures = failures
        self.start(step, onward=onward, source=source, policies=SMALL)

    def hold_commits(self) -> None:
        """None is due for a while."""
        self.pipeline._commits._next_at = self.now + 100  # type: ignore[attr-defined]

    @property
    def sent_on(self) -> list[str]:
        return [value.decode() for value in self.broker.values(TARGET) if value is not None]

    def committed_on(self, partition: int = 0) -> int | None:
        return self.broker.committed.get((GROUP, TOPIC, partition))


def names(count: int) -> list[str]:
    return [f"m{n}" for n in range(count)]


def evens(count: int) -> list[str]:
    return names(count)[::2]


# After delivery.


def test_offsets_are_committed_once_the_records_have_arrived():
    lab = OnwardLab()
    lab.send(*names(8))
    lab.after_delivery()
    lab.turns(4)
    assert lab.pipeline.counters.processed == 8
    assert lab.committed_on() is None
    lab.out.flush()
    lab.turns(2)
    assert lab.committed_on() == 8
    assert lab.sent_on == evens(8)


def test_a_batch_of_which_nothing_goes_on_waits_for_those_before_it():
    lab = OnwardLab()
    lab.send("m0", "m1", "m3", "m5", "m7", "m9")
    lab.after_delivery()
    lab.turns(4)
    assert lab.pipeline.counters.processed == 6
    assert lab.committed_on() is None
    lab.out.flush()
    lab.turns(2)
    assert lab.committed_on() == 6


def test_nothing_of_a_batch_that_failed_goes_on_before_it_is_handled_again():
    lab = OnwardLab()
    lab.send(*names(4))
    lab.after_delivery(failures=2)
    lab.turns(12)
    lab.out.flush()
    lab.turns(2)
    assert lab.sent_on == evens(4)
    assert lab.committed_on() == 4


def test_what_an_outage_kept_from_arriving_is_read_and_sent_again():
    lab = OnwardLab()
    lab.send(*names(8))
    lab.after_delivery()
    lab.out.refuse = KafkaError._MSG_TIMED_OUT
    lab.turns(3)
    lab.out.flush()
    lab.turns(1)
    assert lab.pipeline.snapshot().state is ConsumerState.RETRYING
    assert "records were not delivered" in lab.pipeline.snapshot().reason
    lab.out.refuse = None
    for _ in range(6):
        lab.turns(2)
        lab.out.flush()
    lab.turns(2)
    assert sorted(lab.sent_on) == sorted(evens(8))
    assert lab.committed_on() == 8
    assert lab.pipeline.halted is None


def test_a_record_the_brokers_refuse_halts_with_nothing_committed_past_it():
    lab = OnwardLab()
    lab.send(*names(4))
    lab.after_delivery()
    lab.out.refuse = KafkaError.TOPIC_AUTHORIZATION_FAILED
    lab.turns(2)
    lab.out.flush()
    lab.turns(1)
    assert lab.pipeline.halted is not None
    assert "TOPIC_AUTHORIZATION_FAILED" in lab.pipeline.halted
    assert lab.committed_on() is None


def test_closing_waits_for_what_is_on_its_way_and_commits_it():
    lab = OnwardLab()
    lab.send(*names(4))
    lab.after_delivery()
    lab.turns(2)
    lab.pipeline.close(commit=True)
    assert lab.sent_on == evens(4)
    assert lab.committed_on() == 4


def test_a_revoked_partition_is_committed_with_what_was_sent_of_it():
    lab = OnwardLab()
    lab.send(*names(4))
    lab.after_delivery()
    lab.turns(2)
    lab.source.revoke_now((TOPIC, 0))
    lab.turns(1)
    assert lab.sent_on == evens(4)
    assert lab.committed_on() == 4


# In transactions.


def test_records_and_offsets_become_visible_together():
    lab = OnwardLab(partitions=2)
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
    lab = OnwardLab()
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
    lab = OnwardLab()
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
    lab = OnwardLab()
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
    lab = OnwardLab(partitions=2)
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
    lab = OnwardLab(partitions=2)
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
    lab = OnwardLab()
    lab.send(*names(8))
    lab.in_transactions(failures=3)
    lab.turns(20)
    assert lab.sent_on == evens(8)
    assert lab.committed_on() == 8


def test_a_producer_that_was_replaced_ends_the_consumer():
    lab = OnwardLab()
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
    lab = OnwardLab()
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
    lab = OnwardLab()
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

    lab = OnwardLab()
    lab.send(*names(4))
    lab.in_transactions(kind=Waits)
    lab.turns(20)
    assert lab.sent_on == evens(4)
    assert len(lab.producers) == 1


def test_closing_without_a_commit_leaves_nothing_open_or_visible():
    lab = OnwardLab()
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


# Killed at any line.


class Killed(BaseException):
    """kill -9: nothing may catch it."""


LINES = ["produce", "before offsets", "after offsets", "before commit", "after commit", "in the step"]


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_killed_at_any_line_each_record_is_visible_once(line, nth):
    lab = OnwardLab(partitions=2)
    lab.send(*names(12))
    lab.send(*names(12), partition=1)
    assert work_off(lab, line, nth, transactional=True), f"never came to {line} for the {nth}. time"
    assert Counter(lab.sent_on) == Counter(evens(12) * 2)
    assert lab.broker.lag(GROUP, TOPIC) == 0


def test_killed_between_delivery_and_commit_the_other_way_sends_twice():
    lab = OnwardLab(partitions=2)
    lab.send(*names(12))
    assert work_off(lab, "after flush", 2, transactional=False)
    assert set(lab.sent_on) == set(evens(12))
    assert len(lab.sent_on) > len(evens(12))


def work_off(lab: OnwardLab, line: str, nth: int, *, transactional: bool) -> bool:
    """Run to the end, starting again after the one kill; whether it came."""
    left, killed = nth, False

    def passing(here: str) -> None:
        nonlocal left, killed
        if here == line and not killed:
            left -= 1
            if left == 0:
                killed = True
                raise Killed(line)

    class Producer(FakeTransactions):
        def produce(self, *args: Any, **how: Any) -> None:
            super().produce(*args, **how)
            passing("produce")

        def send_offsets_to_transaction(self, *args: Any, **how: Any) -> None:
            passing("before offsets")
            super().send_offsets_to_transaction(*args, **how)
            passing("after offsets")

        def commit_transaction(self, timeout: float = -1) -> None:
            passing("before commit")
            super().commit_transaction(timeout)
            passing("after commit")

    def begin() -> None:
        if transactional:
            lab.in_transactions(kind=Producer)
            step = lab.step.handle
            lab.step.handle = lambda batch: (passing("in the step"), step(batch), passing("in the step"))[1]
        else:
            lab.after_delivery()

    begin()
    for _ in range(60):
        try:
            lab.pipeline.run_once()
            if not transactional and len(lab.out):
                lab.out.flush()
                passing("after flush")
        except Killed:
            begin()
        lab.now += 0.2
    return killed
