"""How many records at once, and how long to wait for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from gdsconsole.kafka.clients import Record, Source
from gdsconsole.kafka.offsets import Place


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """Bounds of a batch.

    A batch is handed on with `maximum` records, or `linger_s` after its first one. `target_s` is how
    long handling one should take at most: longer, and the next is smaller, so that a slow store makes
    batches small instead of making the consumer late.
    """

    minimum: int = 50
    maximum: int = 500
    linger_s: float = 0.02
    target_s: float = 0.5

    def __post_init__(self) -> None:
        if not 1 <= self.minimum <= self.maximum:
            raise ValueError(f"batch bounds: 1 <= {self.minimum} <= {self.maximum} does not hold")


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


def stretches(records: list[Record], *, one_topic: str | None) -> dict[Place, tuple[int, int]]:
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
    found: dict[Place, tuple[int, int]] = {}
    for key in set(keys):
        place = key if one_topic is None else (one_topic, key)
        first_record, last_record = records[keys.index(key)], records[last - backwards.index(key)]
        found[place] = (offset_of(first_record), offset_of(last_record) + 1)
    return found


def place_of(record: Record) -> Place:
    """The partition a record came from."""
    return (record.topic() or "", cast(int, record.partition()))


def offset_of(record: Record) -> int:
    """The record's offset; a consumed record always has one."""
    return cast(int, record.offset())
