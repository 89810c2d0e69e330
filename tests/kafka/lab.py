"""A pipeline over a broker, a database and a clock that outlive it, for tests of the runtime."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gdsconsole.kafka.clients import ClientHooks
from gdsconsole.kafka.consuming.decoding import ValueDecoder
from gdsconsole.kafka.consuming.equipment import Policies, Stores, Timing, Transport, Work
from gdsconsole.kafka.consuming.runtime import ConsumerRuntime
from gdsconsole.kafka.dead_letters.writer import DeadLetterWriter, RefusedDeadLetter
from tests.kafka.fake_kafka import FakeBroker, FakeProducer, FakeSource
from tests.kafka.steps import Database, MemoryFailures, MemoryHalts, StoreStep, decode_text, known_as

TOPIC = "gds.metrics.production"
DLQ = "gds.metrics.dlq"
GROUP = "gds-tests"
P0, P1 = (TOPIC, 0), (TOPIC, 1)


class Lab:
    """`start()` is a new process: what the old one held in memory is gone, the rest is not."""

    def __init__(self, partitions: int = 1) -> None:
        self.broker = FakeBroker({TOPIC: partitions, DLQ: 1})
        self.database = Database()
        self.parked: list[RefusedDeadLetter] = []
        self.now = 1_000_000.0
        self.topic_id = ""
        self.pipeline: ConsumerRuntime
        self.source: FakeSource
        self.producer: FakeProducer
        self.step: Any
        self.failures: MemoryFailures
        self.halts: MemoryHalts

    def start(
        self,
        step: Any = None,
        *,
        source: type[FakeSource] = FakeSource,
        writer: Callable[[FakeProducer], Any] | None = None,
        decode: Callable[[bytes | None], Any] = decode_text,
        dead_letters: bool = True,
        policies: Policies | None = None,
        failures: MemoryFailures | None = None,
        topic_id: str = "topic-1",
        claims: Any = None,
        onward: Any = None,
    ) -> ConsumerRuntime:
        self.step = step or StoreStep(self.database)
        self.producer = FakeProducer(self.broker)
        self.failures = failures or MemoryFailures(self.database)
        self.halts = MemoryHalts(self.database)
        make = writer or self.writer
        self.topic_id = topic_id

        def open_source(hooks: ClientHooks) -> FakeSource:
            self.source = source(self.broker, GROUP, hooks)
            return self.source

        self.pipeline = ConsumerRuntime(
            GROUP,
            transport=Transport(
                open_source=open_source,  # type: ignore[arg-type]
                identify=lambda topics: known_as(**{TOPIC: self.topic_id})(topics),
                dead_letters=make(self.producer) if dead_letters else None,
                onward=onward,
            ),
            work=Work(ValueDecoder(decode), self.step, policies or Policies()),
            stores=Stores(self.failures, self.halts, claims),
            timing=Timing(clock=lambda: self.now, jitter=lambda: 1.0),
        )
        self.pipeline.subscribe([TOPIC])
        return self.pipeline

    def writer(self, producer: FakeProducer) -> DeadLetterWriter:
        return DeadLetterWriter(
            producer,  # type: ignore[arg-type]
            topic_for=lambda topic: DLQ,
            park=self.parked.extend,
        )

    def send(self, *values: str | None, partition: int = 0) -> None:
        for value in values:
            self.broker.append(TOPIC, None if value is None else value.encode(), partition=partition)

    def turns(self, count: int, *, every_s: float = 1.0) -> None:
        """Call `run_once` so often, the clock moving on in between."""
        for _ in range(count):
            self.pipeline.run_once()
            self.now += every_s

    def remake(self, *values: str) -> None:
        """The topic is deleted and made again, and holds these values at once."""
        self.broker.remake(TOPIC)
        self.topic_id = f"{self.topic_id}, made again"
        self.send(*values)

    @property
    def dead(self) -> list[bytes | None]:
        return self.broker.values(DLQ)

    def committed(self, partition: int = 0) -> int | None:
        return self.broker.committed.get((GROUP, TOPIC, partition))
