"""How many records at once, and how long to wait for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

from confluent_kafka import KafkaError

from gdsconsole.kafka.clients import Record, Source
from gdsconsole.kafka.partitions import TopicPartition

# How long one poll may keep the loop from its lease, its signals and its commits.
SLICE_S = 0.25


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """Bounds of a batch.

    A batch is handed on with `maximum` records, or `linger_s` after its first one. `target_s` is how
    long handling one should take at most: longer, and the next is smaller, so that a slow store makes
    batches small instead of making the consumer late.

    Where a transaction costs much, a batch of fewer than `enough` records waits for more, until
    `wait_s` after its first one. A consumer that is behind still gets up to `maximum` at once.
    """

    minimum: int = 50
    maximum: int = 500
    linger_s: float = 0.02
    target_s: float = 0.5
    enough: int = 1
    wait_s: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.minimum <= self.maximum:
            raise ValueError(f"batch bounds: 1 <= {self.minimum} <= {self.maximum} does not hold")
        if not 1 <= self.enough <= self.maximum:
            raise ValueError(f"batch bounds: 1 <= {self.enough} <= {self.maximum} does not hold")

    @property
    def longest_s(self) -> float:
        """How long a record may wait for its batch to be handed on."""
        return max(self.linger_s, self.wait_s)


def next_limit(policy: BatchPolicy, *, limit: int, taken: int, took_s: float) -> int:
    """The next batch's limit, after `taken` records took `took_s` seconds under `limit`.

    Halved when the target was missed; doubled only when the batch was full and took less than half the
    target, because a batch that wasn't full says nothing of a larger one.
    """
    if took_s > policy.target_s:
        return max(policy.minimum, min(limit, taken) // 2)
    if taken >= limit and took_s < policy.target_s / 2:
        return min(policy.maximum, limit * 2)
    return limit


def fill(source: Source, *, limit: int, linger_s: float, idle_s: float) -> list[Any]:
    """Up to `limit` records and events; empty when nothing came for `idle_s`.

    `consume(n, t)` waits the whole of `t` for the n-th record. So a short wait comes first, which costs
    nothing under load, and an idle consumer then waits for one record alone, to hand it on at once.
    """
    records = source.consume(limit, linger_s)
    if not records:
        records = source.consume(1, idle_s)
        if records and limit > 1:
            records += source.consume(limit - 1, 0)
    return records


class Collector:
    """Gathers batches, each over as many polls as it waits for.

    Records that wait aren't taken yet: nothing is known of them but here. Whoever reads a partition
    again from somewhere, or gives it up, must have them forgotten, or they would come twice.
    """

    def __init__(
        self,
        source: Source,
        policy: BatchPolicy,
        *,
        idle_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._policy = policy
        self._idle_s = idle_s
        self._clock = clock
        self._waiting: list[Any] = []
        self._due_at = 0.0

    def use(self, source: Source) -> None:
        """What was read by another client before is dropped."""
        self._source = source
        self._waiting = []

    def collect(self, limit: int) -> list[Any]:
        """The next batch of at most `limit` records and events; empty while it waits, or nothing came."""
        policy = self._policy
        if self._waiting:
            slice_s = min(SLICE_S, max(0.0, self._due_at - self._clock()))
            came = self._source.consume(max(1, limit - len(self._waiting)), slice_s)
        else:
            came = fill(self._source, limit=limit, linger_s=policy.linger_s, idle_s=self._idle_s)
            if not policy.wait_s:
                return came
            self._due_at = self._clock() + policy.wait_s
        self._waiting += came
        if self._waiting and not self._may_wait(came, limit):
            came, self._waiting = self._waiting, []
            return came
        return []

    def forget(self, tps: Iterable[TopicPartition]) -> None:
        """Drop what waits of these partitions."""
        if self._waiting:
            gone = set(tps)
            self._waiting = [one for one in self._waiting if partition_of(one) not in gone]

    def _may_wait(self, came: list[Any], limit: int) -> bool:
        if self._clock() >= self._due_at:
            return False
        errors = [one.error() for one in came]
        if any(error is not None and error.code() != KafkaError._PARTITION_EOF for error in errors):
            # The client has something to say. What came before it goes with it, in order.
            return False
        records = sum(one.error() is None for one in self._waiting)
        return 0 < records < min(self._policy.enough, limit)


def stretches(records: list[Record], *, one_topic: str | None) -> dict[TopicPartition, tuple[int, int]]:
    """The first offset and the offset after the last, of each partition in the batch.

    Records of a partition are in offset order. Batches hold long runs of few partitions, so finding
    the ends of each in a list of partition numbers costs a tenth of looking at every record.
    `one_topic` is the topic where all records are of one, which saves reading it from each.
    """
    kind = type(records[0])
    numbers = list(map(kind.partition, records))
    topics = map(kind.topic, records)
    keys: list[Any] = numbers if one_topic is not None else list(zip(topics, numbers, strict=True))
    backwards = keys[::-1]
    last = len(keys) - 1
    found: dict[TopicPartition, tuple[int, int]] = {}
    for key in set(keys):
        tp = TopicPartition(*key) if one_topic is None else TopicPartition(one_topic, key)
        first_record, last_record = records[keys.index(key)], records[last - backwards.index(key)]
        found[tp] = (offset_of(first_record), offset_of(last_record) + 1)
    return found


def partition_of(record: Record) -> TopicPartition:
    """The partition a record came from."""
    return TopicPartition(record.topic() or "", cast(int, record.partition()))


def offset_of(record: Record) -> int:
    """The record's offset; a consumed record always has one."""
    return cast(int, record.offset())
