"""The contract between the pipeline runtime and what it runs: a step over batches.

A step turns a batch into effects. Where its effects are rows, it moves the partitions' progress in
the same transaction (`Batch.moves`), so that a batch delivered twice, or handled by a consumer that has
been replaced without noticing, changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from gdsconsole.kafka.clients import Record
from gdsconsole.kafka.partitions import TopicIdPartition

V_co = TypeVar("V_co", covariant=True)
V_contra = TypeVar("V_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Batch(Generic[V_co]):
    """Records that decoded, and how far the batch moves each partition.

    `records[i]` is what `values[i]` was decoded from. Both are in offset order within a partition, and
    both are empty for a batch that only moves past dead letters. `moves` holds for every partition of
    the batch (the offset stored so far, the next offset once this batch is done). The next offset may
    lie beyond the last record's: dead letters, compaction and transaction markers leave gaps.
    """

    records: Sequence[Record]
    values: Sequence[V_co]
    moves: Mapping[TopicIdPartition, tuple[int, int]]


class Step(Protocol[V_contra]):
    """Called by one thread. May block for as long as a database does, never to wait for a retry.

    A step may have `written`, how many rows or records came of its batches since it was made; without
    it, the consumer's rate out is unknown.

    Every method but `revoked` and `close` may raise `TransientError`, or what the pipeline's
    `classify` knows as transient (a locked database): the batch comes again after a backoff.
    """

    def assigned(self, partitions: Sequence[TopicIdPartition]) -> Mapping[TopicIdPartition, int]:
        """The next offset of each partition whose effects up to there are already stored.

        Partitions without stored progress may be left out or given as 0. What is stored of earlier topics
        of the same name, under their ids, belongs in it: it tells that the group's commits may be of those.
        Called on assignment, and again after `FencedError`; forget what is remembered of these partitions'
        open batches.
        """
        ...

    def handle(self, batch: Batch[V_contra]) -> bool:
        """Apply the batch: its effects and its moves in one transaction, or nothing of either.

        Returns whether the moves were stored. A step may leave out the transaction when the batch
        has no effect, and returns False: the next batch's moves then start at the same stored offset.

        Raises `FencedError` when the stored progress isn't where the moves start, `InvalidMessage`
        for a record that can never be applied. Anything else that isn't transient is blamed on a
        record: the batch is retried record by record, and the one that keeps failing is dead-lettered.
        """
        ...

    def revoked(self, partitions: Sequence[TopicIdPartition]) -> None:
        """These partitions now belong to another consumer; what is held for them must be forgotten."""
        ...

    def tick(self, now: datetime) -> None:
        """About once a second between batches: reload what may have been edited, expire what is due."""
        ...

    def close(self) -> None:
        """Release what the step holds. Called once, also after a failure."""
        ...
