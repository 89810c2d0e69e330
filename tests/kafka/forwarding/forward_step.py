"""A step that hands chosen records on to another topic: for tests and a benchmark, no pipeline does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Generic, TypeVar

from gdsconsole.kafka.forwarding.delivery import Forwarding
from gdsconsole.kafka.partitions import TopicIdPartition
from gdsconsole.kafka.producing.sender import OutgoingRecord
from gdsconsole.kafka.step import Batch

V = TypeVar("V")


class ForwardStep(Generic[V]):
    """Keeps nothing of its own: how far it got is what the group has committed.

    `choose` is given a batch's values and returns the positions of those to hand on, in order. A record
    goes on with its key and its value, without its headers.
    """

    def __init__(
        self, onward: Forwarding, *, topic: str, choose: Callable[[Sequence[V]], Sequence[int]]
    ) -> None:
        self._onward = onward
        self._topic = topic
        self._choose = choose
        self.written = 0

    def assigned(self, partitions: Sequence[TopicIdPartition]) -> Mapping[TopicIdPartition, int]:
        return {}

    def handle(self, batch: Batch[V]) -> bool:
        records = batch.records
        chosen = [records[position] for position in self._choose(batch.values)]
        self.written += len(chosen)
        self._onward.send(self._topic, [OutgoingRecord(record.value(), record.key()) for record in chosen])
        return False

    def revoked(self, partitions: Sequence[TopicIdPartition]) -> None:
        """Nothing is held for them."""

    def tick(self, now: datetime) -> None:
        """Nothing changes with time."""

    def close(self) -> None:
        """Nothing is held."""
