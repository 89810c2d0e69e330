"""The halted partitions of a group in the database, where the next owner of a partition finds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from gdsconsole.kafka.consuming.halts import Decision, PartitionHalt
from gdsconsole.kafka.partitions import TopicIdPartition
from gdsconsole.pipelines import models
from gdsconsole.pipelines.storage import storage


class StoredHalts:
    """Every method raises `StorageUnavailable` for a database that is away."""

    def __init__(self, group: str) -> None:
        self._group = group

    def load(self, partitions: Sequence[TopicIdPartition]) -> Mapping[TopicIdPartition, PartitionHalt]:
        wanted = set(partitions)
        rows = models.PartitionHalt.objects.filter(
            group=self._group, topic__in={part.topic for part in wanted}
        )
        with storage():
            found = {_part(row): row for row in rows}
            # Of a topic that was deleted and made again since: nothing of it is left to decide.
            remade = {(part.cluster_id, part.topic, part.partition): part.topic_id for part in wanted}
            over = [
                row.pk
                for part, row in found.items()
                if remade.get((part.cluster_id, part.topic, part.partition), part.topic_id) != part.topic_id
            ]
            if over:
                models.PartitionHalt.objects.filter(pk__in=over).delete()
        return {part: _from_row(row) for part, row in found.items() if part in wanted}

    def save(self, halt: PartitionHalt) -> None:
        with storage():
            models.PartitionHalt.objects.update_or_create(
                group=self._group,
                **halt.partition._asdict(),
                defaults={
                    "offset": halt.offset,
                    "reason": halt.reason,
                    "halted_at": datetime.fromtimestamp(halt.halted_at, UTC),
                    "decision": halt.decision.value if halt.decision else "",
                    "skip_to": halt.skip_to,
                    "decided_by": "",
                    "decided_at": None,
                },
            )

    def clear(self, partition: TopicIdPartition) -> None:
        with storage():
            models.PartitionHalt.objects.filter(group=self._group, **partition._asdict()).delete()


def _part(row: models.PartitionHalt) -> TopicIdPartition:
    return TopicIdPartition(row.topic, row.partition, row.topic_id, row.cluster_id)


def _from_row(row: models.PartitionHalt) -> PartitionHalt:
    return PartitionHalt(
        partition=_part(row),
        offset=row.offset,
        reason=row.reason,
        halted_at=row.halted_at.timestamp(),
        decision=Decision(row.decision) if row.decision else None,
        skip_to=row.skip_to,
    )
