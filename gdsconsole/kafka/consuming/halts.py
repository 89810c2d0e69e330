"""A partition that stands still until a person decides: what is kept of it, and what may be decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from gdsconsole.kafka.partitions import TopicIdPartition


class MustHalt(Exception):
    """No retry and no dead letter can get past this record; the message says why."""


class Decision(Enum):
    """What people decide of a halted partition."""

    RESUME = "resume"
    """Go on at the record where it stands."""
    DEAD_LETTER = "dead-letter"
    """Dead-letter what fails, with the breaker off, until a record is good again."""
    SKIP = "skip"
    """Go on further behind; what lies between is never processed."""


@dataclass(frozen=True, slots=True)
class PartitionHalt:
    """Every record below `offset` is handled, none from there on. Times are seconds since the epoch."""

    partition: TopicIdPartition
    offset: int
    reason: str
    halted_at: float
    decision: Decision | None = None
    skip_to: int | None = None


class HaltStore(Protocol):
    """Keeps halts where the next owner of a partition finds them, and where people decide of them.

    Every method may raise, for a database that is away, and is then called again.
    """

    def load(self, partitions: Sequence[TopicIdPartition]) -> Mapping[TopicIdPartition, PartitionHalt]: ...
    def save(self, halt: PartitionHalt) -> None: ...
    def clear(self, partition: TopicIdPartition) -> None: ...
