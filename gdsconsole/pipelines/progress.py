"""How far a group got, moved in the transaction of the effects themselves.

The compare-and-set is what makes effects happen once: a batch that was handled before, or that a
replaced consumer still holds, starts where the stored progress no longer is, and its transaction fails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.db import connection, transaction
from django.db.models import Q

from gdsconsole.kafka.errors import FencedError
from gdsconsole.kafka.partitions import TopicIdPartition
from gdsconsole.pipelines.models import PartitionProgress

_TABLE = PartitionProgress._meta.db_table
# One statement for the whole batch. The casts tell PostgreSQL the types of a VALUES list, which it
# would otherwise take for text. A WITH in front would read better, but the driver of SQLite counts
# rows for statements that begin with UPDATE alone.
_ADVANCE = f"""UPDATE {_TABLE} SET next_offset = moves.column6
    FROM (VALUES {{rows}}) AS moves
    WHERE {_TABLE}."group" = %s
      AND {_TABLE}.cluster_id = moves.column1
      AND {_TABLE}.topic = moves.column2
      AND {_TABLE}.topic_id = moves.column3
      AND {_TABLE}.partition = moves.column4
      AND {_TABLE}.next_offset = moves.column5
"""  # noqa: S608
_ROW = (
    "(CAST(%s AS varchar), CAST(%s AS varchar), CAST(%s AS varchar),"
    " CAST(%s AS integer), CAST(%s AS bigint), CAST(%s AS bigint))"
)


def load(*, group: str, partitions: Sequence[TopicIdPartition]) -> dict[TopicIdPartition, int]:
    """The stored next offset of each partition; 0 for one that this group starts with now.

    Rows are made here, so that `advance` is an update alone.
    """
    if not partitions:
        return {}
    PartitionProgress.objects.bulk_create(
        [PartitionProgress(group=group, **part._asdict()) for part in partitions], ignore_conflicts=True
    )
    rows = PartitionProgress.objects.filter(
        _any_of(partitions), group=group, topic__in={part.topic for part in partitions}
    )
    return {_identity(row): row.next_offset for row in rows}


def assigned(*, group: str, partitions: Sequence[TopicIdPartition]) -> dict[TopicIdPartition, int]:
    """As `load`, with what is stored of earlier topics of the names: the group's commits may be theirs."""
    named = PartitionProgress.objects.filter(group=group, topic__in={part.topic for part in partitions})
    stored = {_identity(row): row.next_offset for row in named}
    wanted = {(part.cluster_id, part.topic, part.partition) for part in partitions}
    earlier = {
        part: offset
        for part, offset in stored.items()
        if (part.cluster_id, part.topic, part.partition) in wanted
    }
    return earlier | load(group=group, partitions=partitions)


def advance(*, group: str, moves: Mapping[TopicIdPartition, tuple[int, int]]) -> None:
    """Move every partition from the offset it is expected at to the one reached.

    Call it inside the transaction that writes the effects. Raises `FencedError`, having changed
    nothing that survives the rollback, when any partition is stored at another offset.
    """
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError("progress moves only within its effects' transaction")
    if not moves:
        return
    ordered = sorted(moves.items())
    parameters: list[str | int] = []
    for part, (expected, reached) in ordered:
        parameters += [part.cluster_id, part.topic, part.topic_id, part.partition, expected, reached]
    with connection.cursor() as cursor:
        cursor.execute(_ADVANCE.format(rows=", ".join([_ROW] * len(ordered))), [*parameters, group])
        moved = cursor.rowcount
    if moved != len(ordered):
        named = ", ".join(f"{part.topic}-{part.partition} at {expected}" for part, (expected, _) in ordered)
        raise FencedError(f"{group}: progress was moved by another consumer; expected {named}")


def _identity(row: PartitionProgress) -> TopicIdPartition:
    return TopicIdPartition(row.topic, row.partition, row.topic_id, row.cluster_id)


def _any_of(partitions: Sequence[TopicIdPartition]) -> Q:
    by_topic: dict[tuple[str, str, str], list[int]] = {}
    for part in partitions:
        by_topic.setdefault((part.cluster_id, part.topic, part.topic_id), []).append(part.partition)
    found = Q(pk__in=[])
    for (cluster_id, topic, topic_id), numbers in by_topic.items():
        found |= Q(cluster_id=cluster_id, topic=topic, topic_id=topic_id, partition__in=numbers)
    return found
