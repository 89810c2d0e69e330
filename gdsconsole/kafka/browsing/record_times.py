"""When the record at an offset was written: the true time lag of a group that stands there.

One long-lived consumer a process reads the records by hand-assigned positions; it joins no group
and commits nothing. What was read is remembered, because a record's time never changes, so a group
that stands still costs one read.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from gdsconsole.kafka.clients import Source, new_consumer
from gdsconsole.kafka.config import ClientSettings

GROUP_ID = "gds-console-lag"
_REMEMBERED = 50_000
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Position:
    """Where a group stands: `offset` is the next it will read, `end` the first that isn't there yet."""

    topic: str
    topic_id: str
    partition: int
    offset: int
    end: int


@dataclass(frozen=True, slots=True)
class RecordTime:
    """The first readable record at or after a position.

    `written_at` is its timestamp in epoch seconds, by the topic's own choice the producer's clock or
    the broker's. None: no record is left, only transaction markers or aborted ones.
    """

    written_at: float | None


class RecordTimes:
    """Reads records' times within a budget of seconds and positions."""

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._consumer: Source | None = None
        # As the consumer knows the topics: it would ignore the leaders of one that was made again.
        self._topic_ids: dict[str, str] = {}
        self._known: OrderedDict[Position, RecordTime] = OrderedDict()

    def read(
        self, positions: Iterable[Position], *, budget_s: float, most: int
    ) -> dict[Position, RecordTime]:
        """The times that could be had: of what is remembered, and of up to `most` others, first come
        first, in about `budget_s` seconds. A position missing from the answer wasn't read."""
        found: dict[Position, RecordTime] = {}
        unread: list[Position] = []
        for position in positions:
            known = self._recall(position)
            if known is not None:
                found[position] = known
            else:
                unread.append(position)
        deadline = time.monotonic() + budget_s
        waiting = unread[:most]
        while waiting and time.monotonic() < deadline:
            # A consumer can stand at one offset of a partition at a time.
            batch = {(p.topic, p.partition): p for p in reversed(waiting)}
            read = self._read_batch(batch, deadline)
            for position, when in read.items():
                found[position] = when
                self._remember(position, when)
            taken = set(batch.values())
            waiting = [position for position in waiting if position not in taken]
        return found

    def _read_batch(
        self, batch: Mapping[tuple[str, int], Position], deadline: float
    ) -> dict[Position, RecordTime]:
        consumer = self._consumer_of({position.topic: position.topic_id for position in batch.values()})
        found: dict[Position, RecordTime] = {}
        waiting = dict(batch)
        try:
            consumer.assign([TopicPartition(p.topic, p.partition, p.offset) for p in batch.values()])
            while waiting and time.monotonic() < deadline:
                for record in consumer.consume(len(waiting), timeout=_POLL_S):
                    tp = (str(record.topic()), int(record.partition() or 0))
                    position = waiting.get(tp)
                    if position is None:
                        continue
                    error = record.error()
                    if error is None:
                        _, milliseconds = record.timestamp()
                        found[position] = RecordTime(milliseconds / 1000)
                    elif error.code() == KafkaError._PARTITION_EOF:
                        if record.offset() < position.end:
                            continue  # the leader has not told of the end that was read yet
                        found[position] = RecordTime(None)
                    del waiting[tp]
                    consumer.pause([TopicPartition(*tp)])
        except KafkaException:
            pass  # what is missing wasn't read; callers say so
        finally:
            # A pause outlives the assignment it was made in.
            with suppress(KafkaException):
                consumer.resume([TopicPartition(*tp) for tp in batch])
            consumer.unassign()
        return found

    def _consumer_of(self, topic_ids: Mapping[str, str]) -> Source:
        """A consumer that knows no other topics by these names."""
        known = self._topic_ids
        if self._consumer is not None and any(known.get(name, id_) != id_ for name, id_ in topic_ids.items()):
            self._consumer.close()
            self._consumer = None
            known.clear()
        known |= topic_ids
        self._consumer = self._consumer or self._new_consumer()
        return self._consumer

    def _new_consumer(self) -> Source:
        return new_consumer(
            self._settings,
            group_id=GROUP_ID,
            client_id="gds-console-lag",
            enable_partition_eof=True,
            auto_offset_reset="error",
            # One record a partition is wanted, now, and as little of the log behind it as can be.
            fetch_min_bytes=1,
            fetch_wait_max_ms=50,
            max_partition_fetch_bytes=4096,
            queued_min_messages=1,
            log_level=0,
        )

    def _recall(self, position: Position) -> RecordTime | None:
        for key in (position, _for_good(position)):
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        return None

    def _remember(self, position: Position, when: RecordTime) -> None:
        # Nothing left to read holds until the log grows; a record's time holds for good.
        self._known[position if when.written_at is None else _for_good(position)] = when
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


def _for_good(position: Position) -> Position:
    return Position(position.topic, position.topic_id, position.partition, position.offset, end=-1)
