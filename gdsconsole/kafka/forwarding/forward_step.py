"""A step that hands chosen records on to another topic, as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Generic, TypeVar

from gdsconsole.kafka.clients import Record
from gdsconsole.kafka.forwarding.delivery import Forwarding
from gdsconsole.kafka.headers import headers_of
from gdsconsole.kafka.partitions import TopicIdPartition
from gdsconsole.kafka.producing.sender import OutgoingRecord
from gdsconsole.kafka.step import Batch

V = TypeVar("V")


class ForwardStep(Generic[V]):
    """Keeps nothing of its own: how far it got is what the group has committed.

    `choose` is given a batch's values and returns the positions of those to hand on, in order. A record
    goes on with its key, its value and its headers.
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
        if not chosen:
            return False
        self.written += len(chosen)
        if any(map(type(chosen[0]).headers, chosen)):
            self._onward.send(self._topic, list(map(_whole, chosen)))
        else:
            kind = type(chosen[0])
            pairs = zip(map(kind.key, chosen), map(kind.value, chosen), strict=True)
            self._onward.send_batch(self._topic, [{"key": key, "value": value} for key, value in pairs])
        return False

    def revoked(self, partitions: Sequence[TopicIdPartition]) -> None:
        """Nothing is held for them."""

    def tick(self, now: datetime) -> None:
        """Nothing changes with time."""

    def close(self) -> None:
        """Nothing is held."""


def _whole(record: Record) -> OutgoingRecord:
    return OutgoingRecord(record.value(), record.key(), headers_of(record) or None)
