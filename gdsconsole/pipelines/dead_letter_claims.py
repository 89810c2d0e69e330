"""One dead letter for a record that several groups can't decode: claims in the database.

A claim runs out, so what its holder died over is written by the next group that meets the record, or by
the holder's own successor at once. A holder that dies between the acknowledgement and its mark leaves a
letter that is written twice, which the index counts once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet

from gdsconsole.kafka.dead_letters.claims import ClaimResult, RecordClaim
from gdsconsole.kafka.partitions import TopicIdPartition
from gdsconsole.pipelines.models import DeadLetterClaim
from gdsconsole.pipelines.storage import storage

# Longer than a dead letter may take to be acknowledged.
TTL = timedelta(seconds=10)
# A group that comes to a record later than this writes its dead letter again.
KEPT = timedelta(days=2)
_CHUNK = 5_000

Key = tuple[str, str, int, int]


class StoredClaims:
    """For the consumers of one group."""

    def __init__(self, group: str, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._group = group
        self._clock = clock

    def claim(self, records: Collection[RecordClaim]) -> ClaimResult:
        with storage():
            # Most groups come after the first, and only read.
            safe = self._safe(records)
            open_ = sorted(set(records) - safe)
            if not open_:
                return ClaimResult(frozenset(), safe)
            now = self._clock()
            with transaction.atomic():
                DeadLetterClaim.objects.bulk_create(
                    [self._row(one, now) for one in open_], ignore_conflicts=True
                )
                theirs = _rows(open_).filter(is_safe=False)
                theirs.filter(Q(group=self._group) | Q(expires_at__lte=now)).update(
                    group=self._group, expires_at=now + TTL
                )
                mine = set(map(_key, _rows(open_).filter(is_safe=False, group=self._group)))
                safe |= self._safe(open_)
            return ClaimResult(frozenset(one for one in open_ if _key_of(one) in mine), safe)

    def settle(self, records: Collection[RecordClaim]) -> None:
        with storage():
            _rows(records).update(is_safe=True)

    def _safe(self, records: Collection[RecordClaim]) -> frozenset[RecordClaim]:
        found = set(map(_key, _rows(records).filter(is_safe=True)))
        return frozenset(one for one in records if _key_of(one) in found)

    def _row(self, one: RecordClaim, now: datetime) -> DeadLetterClaim:
        part = one.partition
        return DeadLetterClaim(
            cluster_id=part.cluster_id,
            topic_id=part.topic_id,
            partition=part.partition,
            offset=one.offset,
            group=self._group,
            expires_at=now + TTL,
        )


def prune(*, now: datetime) -> int:
    """Forget claims that no group comes to any more; how many."""
    removed = 0
    while True:
        old = DeadLetterClaim.objects.filter(expires_at__lt=now - KEPT).values_list("pk", flat=True)[:_CHUNK]
        count, _ = DeadLetterClaim.objects.filter(pk__in=list(old)).delete()
        removed += count
        if count < _CHUNK:
            return removed


def _rows(records: Iterable[RecordClaim]) -> QuerySet[DeadLetterClaim]:
    by_part: dict[TopicIdPartition, list[int]] = {}
    for one in records:
        by_part.setdefault(one.partition, []).append(one.offset)
    found = Q(pk__in=[])
    for part, offsets in by_part.items():
        found |= Q(
            cluster_id=part.cluster_id,
            topic_id=part.topic_id,
            partition=part.partition,
            offset__in=offsets,
        )
    return DeadLetterClaim.objects.filter(found)


def _key(row: DeadLetterClaim) -> Key:
    return row.cluster_id, row.topic_id, row.partition, row.offset


def _key_of(one: RecordClaim) -> Key:
    part = one.partition
    return part.cluster_id, part.topic_id, part.partition, one.offset
