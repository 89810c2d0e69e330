"""A static member is given what it had before it is given what it asks for."""

from __future__ import annotations

from typing import Any

from tests.kafka.fake_kafka import FakeSource
from tests.kafka.lab import DLQ, TOPIC, Lab


class Remembered(FakeSource):
    """A member within its last session, in which it read `had`; from its second joining on, as asked."""

    had = DLQ

    def subscribe(self, topics: list[str], **callbacks: Any) -> None:
        self.joined = getattr(self, "joined", 0) + 1
        super().subscribe([self.had] if self.joined == 1 else topics, **callbacks)
        if self.joined > 1:
            self.assign_now(*[tp for tp in sorted(self.broker.logs) if tp[0] in topics])


class RememberedTheSame(Remembered):
    had = TOPIC


def renewals(lab: Lab, count: int) -> None:
    """What the loop around a pipeline does with every renewal of its lease."""
    for _ in range(count):
        lab.turns(1)
        lab.pipeline.subscribe([TOPIC])


def test_a_member_that_was_given_other_topics_joins_anew() -> None:
    lab = Lab()
    lab.send("a")
    lab.start(source=Remembered)
    renewals(lab, 6)
    assert lab.database.effects == ["a"]
    assert lab.pipeline.snapshot().partitions == [f"{TOPIC}-0"]
    assert lab.source.joined == 2


def test_a_member_that_was_given_what_it_asked_for_stays() -> None:
    lab = Lab()
    lab.send("a")
    lab.start(source=RememberedTheSame)
    renewals(lab, 6)
    assert lab.database.effects == ["a"]
    assert lab.source.joined == 1


def test_it_joins_anew_once_however_few_partitions_there_are() -> None:
    """A consumer may hold nothing for good, where there are more consumers than partitions."""
    lab = Lab()
    lab.start(source=Remembered)
    renewals(lab, 3)
    lab.source.revoke_now((TOPIC, 0))
    renewals(lab, 6)
    assert lab.source.joined == 2
