"""Two brokers under one contract: the fake in memory and a real one, asked the same way."""

from __future__ import annotations

import uuid
from typing import Any, Protocol

from confluent_kafka.admin import AdminClient

from gdsconsole.kafka.clients import ClientHooks, ClientSettings, Producer, Source, new_producer
from gdsconsole.kafka.consuming.static_member import open_member
from gdsconsole.kafka.producing.transactions import init_transactions
from tests.kafka.deleting import delete_before
from tests.kafka.fake_kafka import FakeBroker, FakeProducer, FakeSource
from tests.kafka.reading import read_all

PARTITIONS = 2


class World(Protocol):
    """A broker with one topic of two partitions and one consumer group, nothing in either."""

    topic: str

    def append(
        self, value: bytes | None, partition: int = 0, *, key: bytes | None = None, headers: Any = None
    ) -> None: ...

    def append_marker(self) -> None:
        """Add at least one offset without a record to read at the end of partition 0."""

    def delete_before(self, offset: int) -> None:
        """Remove the start of partition 0, as retention does."""

    def source(self, hooks: ClientHooks) -> Source:
        """The pipelines' consumer, as they open it."""

    def producer(self) -> Producer: ...

    def values(self) -> list[bytes | None]:
        """What is in partition 0, in order."""

    def close(self) -> None: ...


class FakeWorld:
    def __init__(self) -> None:
        self.topic = "gds.tests.fake"
        self.broker = FakeBroker({self.topic: PARTITIONS})

    def append(
        self, value: bytes | None, partition: int = 0, *, key: bytes | None = None, headers: Any = None
    ) -> None:
        self.broker.append(self.topic, value, partition=partition, key=key, headers=headers)

    def append_marker(self) -> None:
        self.broker.append_marker(self.topic)

    def delete_before(self, offset: int) -> None:
        self.broker.delete_before(self.topic, 0, offset)

    def source(self, hooks: ClientHooks) -> Source:
        made: Any = FakeSource(self.broker, "gds-contract", hooks)
        return made  # type: ignore[no-any-return]

    def producer(self) -> Producer:
        made: Any = FakeProducer(self.broker)
        return made  # type: ignore[no-any-return]

    def values(self) -> list[bytes | None]:
        return [record.value() for record in self.broker.logs[self.topic, 0].records.values()]

    def close(self) -> None:
        pass


class RealWorld:
    def __init__(self, settings: ClientSettings, admin: AdminClient, topic: str) -> None:
        self.topic = topic
        self._settings = settings
        self._admin = admin
        self._group = f"gds-contract-{uuid.uuid4().hex[:8]}"
        self._producer = new_producer(settings, linger_ms=0)
        self._sources: list[Source] = []

    def append(
        self, value: bytes | None, partition: int = 0, *, key: bytes | None = None, headers: Any = None
    ) -> None:
        self._producer.produce(self.topic, value, key, partition, headers=headers)
        assert self._producer.flush(30) == 0

    def append_marker(self) -> None:
        producer = new_producer(self._settings, transactional_id=uuid.uuid4().hex)
        init_transactions(producer, self._settings)
        producer.begin_transaction()
        producer.produce(self.topic, b"never to be read", None, 0)
        assert producer.flush(30) == 0
        producer.abort_transaction(30)

    def delete_before(self, offset: int) -> None:
        delete_before(self._admin, self.topic, 0, offset)

    def source(self, hooks: ClientHooks) -> Source:
        source = open_member(self._settings, group=self._group, slot=0, hooks=hooks)
        self._sources.append(source)
        return source

    def producer(self) -> Producer:
        return new_producer(self._settings)

    def values(self) -> list[bytes | None]:
        return [record.value() for record in read_all(self._settings, self.topic) if record.partition() == 0]

    def close(self) -> None:
        for source in self._sources:
            source.close()
