"""The alerting step, with a clock and a producer that tests control."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.topics.alerting.step.driving import Clock
from tests.topics.making import GROUP, Feed, MemoryProducer, make_alert_rule, partition
from topics.alerting import step as alerting_step
from topics.alerting.outbox import EventSender
from topics.alerting.step import RulesStep
from topics.models import AlertRule


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def producer() -> MemoryProducer:
    return MemoryProducer()


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, dict[str, Any]]]:
    seen: list[tuple[str, str, dict[str, Any]]] = []
    monkeypatch.setattr(alerting_step, "publish", lambda *frame: seen.append(frame))
    return seen


@pytest.fixture
def rule() -> AlertRule:
    return make_alert_rule()


@pytest.fixture
def step(
    rule: AlertRule, clock: Clock, producer: MemoryProducer, published: list[Any]
) -> Iterator[RulesStep]:
    made = RulesStep(group=GROUP, sender=EventSender(lambda: producer), clock=clock)  # type: ignore[arg-type,return-value]
    made.assigned([partition()])
    yield made
    made.close()


@pytest.fixture
def feed() -> Feed:
    return Feed()
