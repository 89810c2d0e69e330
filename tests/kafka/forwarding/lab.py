"""A consumer whose step sends on every second record, over fakes that tests control."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gdsconsole.kafka.config import ClientSettings
from gdsconsole.kafka.consuming.batching import BatchPolicy
from gdsconsole.kafka.consuming.equipment import Policies
from gdsconsole.kafka.errors import TransientError
from gdsconsole.kafka.forwarding.transactional import InTransactions
from tests.kafka.fake_kafka import FakeBroker, FakeProducer, FakeSource, FakeTransactions
from tests.kafka.forwarding.after_delivery import AfterDelivery
from tests.kafka.forwarding.forward_step import ForwardStep
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


class ForwardingLab(Lab):
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
