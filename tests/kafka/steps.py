"""Steps and stores in memory, for tests of the runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gdsconsole.kafka.consuming.halts import PartitionHalt
from gdsconsole.kafka.consuming.retries import Failure
from gdsconsole.kafka.errors import FencedError, InvalidMessage
from gdsconsole.kafka.partitions import TopicIdPartition
from gdsconsole.kafka.step import Batch


def decode_text(value: bytes | None) -> str:
    """Texts are good; nothing, and what begins with `bad`, is poison."""
    if value is None:
        raise InvalidMessage("the record has no value")
    if value.startswith(b"bad"):
        raise InvalidMessage(f"{value.decode()!r} is not good")
    return value.decode()


@dataclass
class Database:
    """Survives the processes that use it. Effects and progress change together, or not at all."""

    effects: list[str] = field(default_factory=list)
    progress: dict[TopicIdPartition, int] = field(default_factory=dict)
    failures: dict[TopicIdPartition, Failure] = field(default_factory=dict)
    halts: dict[TopicIdPartition, PartitionHalt] = field(default_factory=dict)


@dataclass
class StoreStep:
    """Writes every value into the database, with the progress. `before` and `after` may raise."""

    database: Database
    before: Callable[[Batch[str]], None] = lambda batch: None
    after: Callable[[Batch[str]], None] = lambda batch: None
    fenced: bool = True
    batches: list[int] = field(default_factory=list)
    revocations: list[TopicIdPartition] = field(default_factory=list)
    is_closed: bool = False

    def assigned(self, partitions: Sequence[TopicIdPartition]) -> Mapping[TopicIdPartition, int]:
        for part in partitions:
            self.database.progress.setdefault(part, 0)
        return dict(self.database.progress)

    def handle(self, batch: Batch[str]) -> bool:
        self.before(batch)
        for part, (expected, _) in batch.moves.items():
            if self.fenced and self.database.progress[part] != expected:
                raise FencedError(f"{part} is at {self.database.progress[part]}, not {expected}")
        self.database.effects += batch.values
        self.database.progress |= {part: reached for part, (_, reached) in batch.moves.items()}
        self.batches.append(len(batch.values))
        self.after(batch)
        return True

    def revoked(self, partitions: Sequence[TopicIdPartition]) -> None:
        self.revocations += partitions

    def tick(self, now: datetime) -> None:
        pass

    def close(self) -> None:
        self.is_closed = True


@dataclass
class MemoryFailures:
    """A failure store on the same database."""

    database: Database

    def load(self, partitions: Sequence[TopicIdPartition]) -> dict[TopicIdPartition, Failure]:
        return {part: self.database.failures[part] for part in partitions if part in self.database.failures}

    def save(self, failure: Failure) -> None:
        self.database.failures[failure.partition] = failure

    def clear(self, partition: TopicIdPartition) -> None:
        self.database.failures.pop(partition, None)


@dataclass
class MemoryHalts:
    """A halt store on the same database. `away` is what every call raises meanwhile."""

    database: Database
    away: Exception | None = None

    def load(self, partitions: Sequence[TopicIdPartition]) -> dict[TopicIdPartition, PartitionHalt]:
        self._ask()
        return {part: self.database.halts[part] for part in partitions if part in self.database.halts}

    def save(self, halt: PartitionHalt) -> None:
        self._ask()
        self.database.halts[halt.partition] = halt

    def clear(self, partition: TopicIdPartition) -> None:
        self._ask()
        self.database.halts.pop(partition, None)

    def _ask(self) -> None:
        if self.away is not None:
            raise self.away


def known_as(cluster: str = "cluster-1", **topic_ids: str) -> Callable[[Any], dict[str, tuple[str, str]]]:
    """An `identify` that asks nobody."""

    def identify(topics: Any) -> dict[str, tuple[str, str]]:
        return {topic: (cluster, topic_ids.get(topic, f"id of {topic}")) for topic in topics}

    return identify


class Refuses:
    """A step's `before` that raises `error` for batches with `culprit`, `times` times."""

    def __init__(self, culprit: str, error: Exception, times: int = 1_000_000) -> None:
        self.culprit, self.error, self.left = culprit, error, times

    def __call__(self, batch: Batch[str]) -> None:
        if self.culprit in batch.values and self.left > 0:
            self.left -= 1
            raise self.error
