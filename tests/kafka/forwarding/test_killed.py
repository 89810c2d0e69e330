"""A consumer that sends records on, killed at every line."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.kafka.fake_kafka import FakeTransactions
from tests.kafka.forwarding.lab import (
    ForwardingLab,
    evens,
    names,
)
from tests.kafka.lab import GROUP, TOPIC


class Killed(BaseException):
    """kill -9: nothing may catch it."""


LINES = ["produce", "before offsets", "after offsets", "before commit", "after commit", "in the step"]


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_killed_at_any_line_each_record_is_visible_once(line, nth):
    lab = ForwardingLab(partitions=2)
    lab.send(*names(12))
    lab.send(*names(12), partition=1)
    assert work_off(lab, line, nth, transactional=True), f"never came to {line} for the {nth}. time"
    assert Counter(lab.sent_on) == Counter(evens(12) * 2)
    assert lab.broker.lag(GROUP, TOPIC) == 0


def test_killed_between_delivery_and_commit_the_other_way_sends_twice():
    lab = ForwardingLab(partitions=2)
    lab.send(*names(12))
    assert work_off(lab, "after flush", 2, transactional=False)
    assert set(lab.sent_on) == set(evens(12))
    assert len(lab.sent_on) > len(evens(12))


def work_off(lab: ForwardingLab, line: str, nth: int, *, transactional: bool) -> bool:
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
