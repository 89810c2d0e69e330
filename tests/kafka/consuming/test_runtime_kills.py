"""A process killed at any line loses nothing and doubles nothing, and the naive loop does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from gdsconsole.kafka.consuming.batching import BatchPolicy
from gdsconsole.kafka.consuming.equipment import Policies
from gdsconsole.kafka.dead_letters.envelope import decode
from gdsconsole.kafka.dead_letters.writer import DeadLetterWriter, FlushResult
from gdsconsole.kafka.partitions import TopicIdPartition
from gdsconsole.kafka.step import Batch
from tests.kafka.fake_kafka import FakeProducer, FakeSource
from tests.kafka.lab import DLQ, TOPIC, Lab
from tests.kafka.steps import StoreStep, decode_text

SMALL = Policies(batch=BatchPolicy(minimum=1, maximum=4))
LINES = [
    "decode",
    "before the step",
    "after the step",
    "before the flush",
    "after the flush",
    "before the commit",
    "after the commit",
]


class Killed(BaseException):
    """kill -9: nothing may catch it."""


class Executioner:
    """Kills at the `nth` passing of one line, once."""

    def __init__(self, line: str = "", nth: int = 0) -> None:
        self.line, self.left = line, nth
        self.has_killed = False

    def passing(self, line: str) -> None:
        if line == self.line and not self.has_killed:
            self.left -= 1
            if self.left <= 0:
                self.has_killed = True
                raise Killed(line)


def start(
    lab: Lab, fate: Executioner, step: type[StoreStep] = StoreStep, source: type[FakeSource] = FakeSource
) -> None:
    class Source(source):  # type: ignore[valid-type,misc]
        def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> Any:
            fate.passing("before the commit")
            answer = super().commit(offsets=offsets, asynchronous=asynchronous)
            fate.passing("after the commit")
            return answer

    class Producer(FakeProducer):
        def flush(self, timeout: float = -1) -> int:
            fate.passing("before the flush")
            left = super().flush(timeout)
            fate.passing("after the flush")
            return left

    def decode_and_pass(value: bytes | None) -> str:
        fate.passing("decode")
        return decode_text(value)

    lab.start(
        step(
            lab.database,
            before=lambda batch: fate.passing("before the step"),
            after=lambda batch: fate.passing("after the step"),
        ),
        source=Source,
        writer=lambda producer: lab.writer(Producer(lab.broker)),
        decode=decode_and_pass,
        policies=SMALL,
    )


def work_off(lab: Lab, fate: Executioner, **how: Any) -> bool:
    """Run to the end, starting again after a kill; whether there was one."""
    start(lab, fate, **how)
    for _ in range(80):
        try:
            lab.pipeline.run_once()
        except Killed:
            # The next process may find commits of the last one, and nothing else of it.
            start(lab, fate, **how)
        lab.now += 0.2
    return fate.has_killed


def sent(lab: Lab, count: int = 24) -> tuple[list[str], list[str]]:
    """Good and poison, over two partitions."""
    good, poison = [], []
    for n in range(count):
        name = f"bad{n}" if n % 5 == 3 else f"m{n}"
        (poison if n % 5 == 3 else good).append(name)
        lab.send(name, partition=n % 2)
    return good, poison


def buried(lab: Lab) -> Counter[tuple[Any, ...]]:
    """Dead letters by origin: as the index counts them."""
    letters = [decode(record) for record in lab.broker.logs[DLQ, 0].records.values()]
    return Counter((letter.topic, letter.partition, letter.offset) for letter in letters)


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("nth", [1, 2, 3, 5])
def test_each_record_is_applied_once_or_dead_lettered(line, nth):
    lab = Lab(partitions=2)
    good, poison = sent(lab)
    fate = Executioner(line, nth)
    assert work_off(lab, fate), f"never came {line} for the {nth}. time"
    assert sorted(lab.database.effects) == sorted(good)
    assert {value.decode() for value in lab.dead if value} == set(poison)
    assert len(buried(lab)) == len(poison)
    assert lab.broker.lag("gds-tests", TOPIC) == 0


class CommitsFirst(FakeSource):
    """The naive loop: what was handed out is committed, before anything is done with it."""

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Any]:
        records = super().consume(num_messages, timeout)
        for record in records:
            if record.error() is None:
                tp = (record.topic(), record.partition())
                self.broker.committed[self.group, *tp] = record.offset() + 1
        return records


class Unfenced(StoreStep):
    """The naive step: effects without progress."""

    def assigned(self, partitions: Any) -> Mapping[TopicIdPartition, int]:
        return {}

    def handle(self, batch: Batch[str]) -> bool:
        self.before(batch)
        self.database.effects += batch.values
        self.after(batch)
        return False


def test_committing_first_loses_records():
    lab = Lab(partitions=2)
    good, _ = sent(lab)
    assert work_off(lab, Executioner("before the step", 2), step=Unfenced, source=CommitsFirst)
    assert set(good) - set(lab.database.effects)


def test_effects_without_progress_are_doubled():
    lab = Lab(partitions=2)
    good, _ = sent(lab)
    assert work_off(lab, Executioner("after the step", 2), step=Unfenced)
    assert set(lab.database.effects) == set(good)
    assert len(lab.database.effects) > len(good)


class WritesLate(DeadLetterWriter):
    """The naive order: the step goes past dead letters that are written after it."""

    def flush(self, *, timeout_s: float | None = None) -> FlushResult:
        return FlushResult(0, 0)


def test_moving_past_a_dead_letter_before_it_is_written_loses_it():
    lab = Lab(partitions=2)
    _, poison = sent(lab)

    def after(batch: Batch[str]) -> None:
        if len(lab.producer):
            raise Killed

    lab.start(
        StoreStep(lab.database, after=after),
        writer=lambda producer: WritesLate(producer, topic_for=lambda topic: DLQ, park=lab.parked.extend),
        policies=SMALL,
    )
    with pytest.raises(Killed):
        lab.turns(20)
    work_off(lab, Executioner())
    assert {value.decode() for value in lab.dead if value} < set(poison)
