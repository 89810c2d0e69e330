"""A broker, a consumer and a producer in memory, with the failures that real ones can't be asked for.

`tests/contracts/test_source.py` runs one suite over this consumer and over a real broker's, so that
what the runtime relies on is true of both.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as ClientPartition

from gdsconsole.kafka.clients import ClientHooks
from tests.factories import make_record

TopicPartition = tuple[str, int]


@dataclass
class Log:
    """One partition: records by offset. Offsets may have gaps."""

    start: int = 0
    end: int = 0
    records: dict[int, Message] = field(default_factory=dict)


@dataclass
class Transaction:
    """Nothing of it is visible before its commit."""

    records: list[tuple[str, bytes | None, bytes | None, Any]] = field(default_factory=list)
    offsets: dict[tuple[str, str, int], int] = field(default_factory=dict)
    labels: dict[tuple[str, str, int], str | None] = field(default_factory=dict)


class FakeBroker:
    """Outlives the clients of it, as a broker does."""

    def __init__(self, topics: dict[str, int]) -> None:
        self.logs = {(topic, n): Log() for topic, count in topics.items() for n in range(count)}
        self.committed: dict[tuple[str, str, int], int] = {}
        # What the commits carry as metadata.
        self.labels: dict[tuple[str, str, int], str | None] = {}
        # By transactional id: what is produced, and the offsets, of the transaction that is open.
        self.open: dict[str, Transaction] = {}

    def append(self, topic: str, value: bytes | None, *, partition: int = 0, **fields: Any) -> int:
        log = self.logs[topic, partition]
        offset = log.end
        log.records[offset] = make_record(
            topic=topic, partition=partition, offset=offset, value=value, **fields
        )
        log.end += 1
        return offset

    def append_marker(self, topic: str, partition: int = 0) -> None:
        """A transaction's end: an offset without a record."""
        self.logs[topic, partition].end += 1

    def delete_before(self, topic: str, partition: int, offset: int) -> None:
        log = self.logs[topic, partition]
        log.start = offset
        log.records = {at: record for at, record in log.records.items() if at >= offset}

    def remake(self, topic: str) -> None:
        """The topic is deleted and made again. Its commits are those of a consumer that noticed later."""
        for tp in self.logs:
            if tp[0] == topic:
                self.logs[tp] = Log()

    def values(self, topic: str) -> list[bytes | None]:
        """Everything in the topic, by partition and offset."""
        return [
            record.value()
            for tp in sorted(self.logs)
            if tp[0] == topic
            for record in self.logs[tp].records.values()
        ]

    def lag(self, group: str, topic: str) -> int:
        return sum(
            log.end - self.committed.get((group, *tp), 0) for tp, log in self.logs.items() if tp[0] == topic
        )


class FakeSource:
    """A consumer alone in its group, until a test calls `assign_now`, `revoke_now` or `lose_now`."""

    def __init__(self, broker: FakeBroker, group: str, hooks: ClientHooks) -> None:
        self.broker = broker
        self.group = group
        self.hooks = hooks
        self.positions: dict[TopicPartition, int] = {}
        self.paused: set[TopicPartition] = set()
        self.at_end: set[TopicPartition] = set()
        self.out_of_range: set[TopicPartition] = set()
        self.refuse_commits: int | None = None
        self.refuse_seeks: int | None = None
        self.refuse_committed: int | None = None
        self.polls = 0
        self.commit_calls: list[dict[TopicPartition, int]] = []
        self.seeks: list[int] = []
        self.is_closed = False
        self._callbacks: dict[str, Callable[..., None]] = {}
        self._due: deque[Callable[[], None]] = deque()
        self._events: deque[Message] = deque()
        self._buffered: deque[Message] = deque()

    # What a test asks for.

    def assign_now(self, *tps: TopicPartition) -> None:
        parts = [ClientPartition(*tp) for tp in tps]
        self._due.append(lambda: self._callbacks["on_assign"](self, parts))

    def revoke_now(self, *tps: TopicPartition) -> None:
        parts = [ClientPartition(*tp) for tp in tps]
        self._due.append(lambda: self._callbacks["on_revoke"](self, parts))

    def lose_now(self, *tps: TopicPartition) -> None:
        parts = [ClientPartition(*tp) for tp in tps]
        self._due.append(lambda: self._callbacks["on_lost"](self, parts))

    def say(self, code: int, tp: TopicPartition | None = None) -> None:
        where = {"topic": tp[0], "partition": tp[1]} if tp else {}
        self._events.append(Message(**where, error=KafkaError(code)))

    def still_deliver(self, tp: TopicPartition, offset: int) -> None:
        """Hand a record out next, whatever the position: a fetch that was on its way."""
        self._buffered.append(self.broker.logs[tp].records[offset])

    # What the runtime uses.

    def subscribe(self, topics: list[str], **callbacks: Callable[..., None]) -> None:
        first = not self._callbacks
        self._callbacks = callbacks
        if first:
            self.assign_now(*[tp for tp in sorted(self.broker.logs) if tp[0] in topics])

    def unsubscribe(self) -> None:
        self.revoke_now(*self.positions)

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Message]:
        self.polls += 1
        while self._due:
            self._due.popleft()()
        found: list[Message] = []
        while self._events and len(found) < num_messages:
            found.append(self._events.popleft())
        while self._buffered and len(found) < num_messages:
            found.append(self._buffered.popleft())
        for tp in sorted(self.positions):
            if tp not in self.paused:
                found += self._read(tp, num_messages - len(found))
        return found

    def poll(self, timeout: float = -1) -> Message | None:
        return next(iter(self.consume(1, timeout)), None)

    def incremental_assign(self, partitions: Sequence[ClientPartition]) -> None:
        for part in partitions:
            self._move((part.topic, part.partition), part.offset)

    def incremental_unassign(self, partitions: Sequence[ClientPartition]) -> None:
        for part in partitions:
            self.positions.pop((part.topic, part.partition), None)
            self.paused.discard((part.topic, part.partition))

    def assignment(self) -> list[ClientPartition]:
        return [ClientPartition(*tp) for tp in self.positions]

    def pause(self, partitions: Iterable[ClientPartition]) -> None:
        self.paused |= {(part.topic, part.partition) for part in partitions}

    def resume(self, partitions: Iterable[ClientPartition]) -> None:
        self.paused -= {(part.topic, part.partition) for part in partitions}

    def seek(self, partition: ClientPartition) -> None:
        if self.refuse_seeks is not None:
            raise KafkaException(KafkaError(self.refuse_seeks))
        if (partition.topic, partition.partition) in self.out_of_range:
            raise KafkaException(KafkaError(KafkaError._STATE))
        self.seeks.append(partition.offset)
        self._move((partition.topic, partition.partition), partition.offset)

    def position(self, partitions: Iterable[ClientPartition]) -> list[ClientPartition]:
        return [
            ClientPartition(part.topic, part.partition, self.positions[part.topic, part.partition])
            for part in partitions
        ]

    def consumer_group_metadata(self) -> str:
        return self.group

    def commit(self, *, offsets: list[ClientPartition], asynchronous: bool) -> list[ClientPartition] | None:
        asked = {(part.topic, part.partition): part.offset for part in offsets}
        self.commit_calls.append(asked)
        error = None if self.refuse_commits is None else KafkaError(self.refuse_commits)
        if error is None:
            self.broker.committed |= {(self.group, *tp): offset for tp, offset in asked.items()}
            self.broker.labels |= {
                (self.group, part.topic, part.partition): part.metadata for part in offsets
            }
        if not asynchronous:
            if error is not None:
                raise KafkaException(error)
            return offsets
        answer = self.hooks.on_commit
        if answer is not None:
            self._due.append(lambda: answer(error, offsets))
        return None

    def committed(self, partitions: Iterable[ClientPartition], timeout: float = -1) -> list[ClientPartition]:
        if self.refuse_committed is not None:
            raise KafkaException(KafkaError(self.refuse_committed))
        return [
            ClientPartition(
                part.topic,
                part.partition,
                self.broker.committed.get((self.group, part.topic, part.partition), -1001),
                metadata=self.broker.labels.get((self.group, part.topic, part.partition)) or "",
            )
            for part in partitions
        ]

    def get_watermark_offsets(
        self, partition: ClientPartition, timeout: float = -1, cached: bool = False
    ) -> tuple[int, int]:
        log = self.broker.logs[partition.topic, partition.partition]
        return log.start, log.end

    def close(self) -> None:
        if self.positions and "on_revoke" in self._callbacks:
            self._callbacks["on_revoke"](self, self.assignment())
        self.is_closed = True

    def _move(self, tp: TopicPartition, offset: int) -> None:
        log = self.broker.logs[tp]
        self.positions[tp] = log.start if offset == OFFSET_BEGINNING else offset
        self.at_end.discard(tp)
        self.out_of_range.discard(tp)

    def _read(self, tp: TopicPartition, limit: int) -> list[Message]:
        log, found = self.broker.logs[tp], []
        at = self.positions[tp]
        if not log.start <= at <= log.end:
            if tp in self.out_of_range or limit < 1:
                return []
            self.out_of_range.add(tp)
            error = KafkaError(KafkaError._AUTO_OFFSET_RESET)
            return [Message(topic=tp[0], partition=tp[1], offset=at, error=error)]
        while at < log.end and len(found) < limit:
            if at in log.records:
                found.append(log.records[at])
            at += 1
        if found:
            self.at_end.discard(tp)
        self.positions[tp] = at
        if at == log.end and len(found) < limit and tp not in self.at_end:
            self.at_end.add(tp)
            end = KafkaError(KafkaError._PARTITION_EOF)
            found.append(Message(topic=tp[0], partition=tp[1], offset=at, error=end))
        return found


class FakeProducer:
    """Appends to the broker when flushed. `refuse` is the error of each delivery, until it is None again."""

    def __init__(self, broker: FakeBroker) -> None:
        self.broker = broker
        self.refuse: int | None = None
        self._waiting: list[tuple[str, bytes | None, bytes | None, Any, Any]] = []

    def produce(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int = -1,
        *,
        on_delivery: Any = None,
        timestamp: int = 0,
        headers: Any = None,
    ) -> None:
        self._waiting.append((topic, value, key, on_delivery, headers))

    def produce_batch(
        self, topic: str, messages: list[dict[str, Any]], partition: int = -1, *, on_delivery: Any = None
    ) -> int:
        for message in messages:
            self.produce(topic, message["value"], message["key"], on_delivery=on_delivery)
        return len(messages)

    def poll(self, timeout: float = -1) -> int:
        return 0

    def flush(self, timeout: float = -1) -> int:
        waiting, self._waiting = self._waiting, []
        for topic, value, key, on_delivery, headers in waiting:
            error = None if self.refuse is None else KafkaError(self.refuse)
            if error is None:
                self.broker.append(topic, value, key=key, headers=headers)
            on_delivery(error, None)
        return 0

    def purge(self, in_queue: bool = True, in_flight: bool = True, blocking: bool = True) -> None:
        self._waiting = []

    def __len__(self) -> int:
        return len(self._waiting)


class FakeTransactions(FakeProducer):
    """A transactional producer. `refuse_offsets` and `refuse_commit` are raised by those calls, if set."""

    def __init__(self, broker: FakeBroker, transactional_id: str) -> None:
        super().__init__(broker)
        self.id = transactional_id
        self.refuse_offsets: KafkaError | None = None
        self.refuse_commit: KafkaError | None = None

    def init_transactions(self, timeout: float = -1) -> None:
        self.broker.open.pop(self.id, None)

    def begin_transaction(self) -> None:
        assert self.id not in self.broker.open, "a transaction is open already"
        self.broker.open[self.id] = Transaction()

    def produce(
        self, topic: str, value: Any = None, key: Any = None, partition: int = -1, **how: Any
    ) -> None:
        self.broker.open[self.id].records.append((topic, value, key, how.get("headers")))

    def send_offsets_to_transaction(
        self, positions: list[ClientPartition], group_metadata: str, timeout: float = -1
    ) -> None:
        if self.refuse_offsets is not None:
            raise KafkaException(self.refuse_offsets)
        self.broker.open[self.id].offsets |= {
            (group_metadata, part.topic, part.partition): part.offset for part in positions
        }
        self.broker.open[self.id].labels |= {
            (group_metadata, part.topic, part.partition): part.metadata for part in positions
        }

    def commit_transaction(self, timeout: float = -1) -> None:
        if self.refuse_commit is not None:
            raise KafkaException(self.refuse_commit)
        ended = self.broker.open.pop(self.id)
        for topic, value, key, headers in ended.records:
            self.broker.append(topic, value, key=key, headers=headers)
        self.broker.committed |= ended.offsets
        self.broker.labels |= ended.labels

    def abort_transaction(self, timeout: float = -1) -> None:
        self.broker.open.pop(self.id, None)
