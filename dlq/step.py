"""The step of the `dlq-index` pipeline: dead letter topics to `DeadLetter` rows.

It has no dead letter topic of its own: whatever is in a record, it becomes a row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.utils import timezone

from dlq.indexing import index
from dlq.intake import Arrival, DlqPlace
from dlq.live_summary import publish_summary
from gdsconsole.kafka.clients import Record
from gdsconsole.kafka.dead_letters.envelope import DecodedDeadLetter
from gdsconsole.kafka.dead_letters.writer import RefusedDeadLetter
from gdsconsole.kafka.partitions import TopicIdPartition
from gdsconsole.kafka.step import Batch
from gdsconsole.kafka.timestamps import written_at
from gdsconsole.pipelines import progress
from topics.models import TopicDefinition

RETENTION_REREAD = timedelta(seconds=30)


class IndexStep:
    """Rows, history and progress in one transaction; a batch that comes twice changes nothing."""

    def __init__(self, *, group: str, clock: Callable[[], datetime] = timezone.now) -> None:
        self._group = group
        self._clock = clock
        self._partitions: dict[tuple[str, int], TopicIdPartition] = {}
        self._retention_ms: dict[str, int] = {}
        self._reread_at = datetime.min.replace(tzinfo=UTC)
        self.written = 0  # dead letters

    def assigned(self, partitions: Sequence[TopicIdPartition]) -> Mapping[TopicIdPartition, int]:
        self._partitions |= {(part.topic, part.partition): part for part in partitions}
        self._read_retention(self._clock())
        return progress.assigned(group=self._group, partitions=partitions)

    def handle(self, batch: Batch[DecodedDeadLetter]) -> bool:
        by_number = {(part.topic, part.partition): part for part in batch.moves}
        arrivals = [
            self._arrival(record, letter, by_number)
            for record, letter in zip(batch.records, batch.values, strict=True)
        ]
        with transaction.atomic():
            index(arrivals, now=self._clock())
            progress.advance(group=self._group, moves=batch.moves)
            if arrivals:
                publish_summary()
        self.written += len(arrivals)
        return True

    def revoked(self, partitions: Sequence[TopicIdPartition]) -> None:
        for part in partitions:
            self._partitions.pop((part.topic, part.partition), None)

    def tick(self, now: datetime) -> None:
        if now >= self._reread_at:
            self._read_retention(now)

    def close(self) -> None:
        """Nothing is held."""

    def _arrival(
        self,
        record: Record,
        letter: DecodedDeadLetter,
        partitions: Mapping[tuple[str, int], TopicIdPartition],
    ) -> Arrival:
        topic, partition, offset = record.topic(), record.partition(), record.offset()
        if topic is None or partition is None or offset is None:
            raise ValueError("a consumed record has coordinates")
        part = partitions[topic, partition]
        return Arrival(
            letter=letter,
            cluster_id=part.cluster_id,
            place=DlqPlace(topic, part.topic_id, partition, offset, self._retention_ms.get(topic)),
            arrived_at=written_at(record) or self._clock(),
        )

    def _read_retention(self, now: datetime) -> None:
        """As declared; a topic that nobody declared has a retention nobody here knows."""
        topics = {topic for topic, _ in self._partitions}
        declared = TopicDefinition.objects.filter(name__in=topics).values_list("name", "retention_ms")
        self._retention_ms = dict(declared)
        self._reread_at = now + RETENTION_REREAD


class DatabasePark:
    """The runtime's park: dead letters the broker refused go straight to their rows."""

    def __init__(
        self, *, cluster_id: Callable[[], str], clock: Callable[[], datetime] = timezone.now
    ) -> None:
        self._cluster_id = cluster_id
        self._clock = clock

    def __call__(self, refused: Sequence[RefusedDeadLetter]) -> None:
        now = self._clock()
        cluster_id = self._cluster_id()
        arrivals = [
            Arrival(
                letter=entry.letter,
                cluster_id=cluster_id,
                place=None,
                arrived_at=now,
                refusal=entry.reason,
            )
            for entry in refused
        ]
        with transaction.atomic():
            index(arrivals, now=now)
            publish_summary()
