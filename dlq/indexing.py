"""Writes arrivals to the database: once each, and a message that came back to the row it has."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import Q, QuerySet

from dlq.intake import Arrival, identity_of, row_of
from dlq.models import (
    EVERY_GROUP,
    DeadLetter,
    DeadLetterAction,
    DeadLetterEvent,
    DeadLetterState,
    ReplayItem,
)
from dlq.outcomes import record_return

_CHUNK = 500


def index(arrivals: Sequence[Arrival], *, now: datetime) -> int:
    """Store these dead letters; returns how many rows are new. Call it inside a transaction.

    An arrival whose record was sent by one of this console's replays makes no row of its own: see
    `record_return`. One that is stored already changes nothing.
    """
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError("dead letters are stored with their progress")
    items = _replays(arrival.replay_id for arrival in arrivals)
    fresh: dict[tuple[object, ...], DeadLetter] = {}
    for arrival in arrivals:
        row = row_of(arrival)
        item = items.get(arrival.replay_id) if arrival.replay_id else None
        if item is None or not _returned(item, row, now=now):
            fresh.setdefault(identity_of(row), row)
    return _insert(list(fresh.values()), now=now)


def _returned(item: ReplayItem, failure: DeadLetter, *, now: datetime) -> bool:
    """Whether the failure belongs to a letter that exists; if so, it is noted there."""
    replayed = item.dead_letter
    if failure.topic is None or failure.topic != item.target_topic:
        return False
    if replayed.group == EVERY_GROUP and failure.group != EVERY_GROUP:
        # It can be read now, and one of the groups that read it fails at it: a letter of that group.
        return False
    record_return(item, failure, now=now)
    return True


def _replays(replay_ids: Iterable[uuid.UUID | None]) -> dict[uuid.UUID, ReplayItem]:
    wanted = {replay_id for replay_id in replay_ids if replay_id is not None}
    if not wanted:
        return {}
    found = ReplayItem.objects.select_related("dead_letter").filter(replay_id__in=wanted)
    return {item.replay_id: item for item in found.defer("dead_letter__value", "dead_letter__headers")}


def _insert(rows: Sequence[DeadLetter], *, now: datetime) -> int:
    inserted = 0
    for start in range(0, len(rows), _CHUNK):
        chunk = rows[start : start + _CHUNK]
        known = set(_stored(chunk).values_list("pk", flat=True))
        DeadLetter.objects.bulk_create(chunk, ignore_conflicts=True)
        # What was there before is another's; what is there now besides was written just now.
        new = list(_stored(chunk).exclude(pk__in=known).only("pk", "group", "error", "error_type", "state"))
        DeadLetterEvent.objects.bulk_create(
            DeadLetterEvent(
                dead_letter=letter,
                action=DeadLetterAction.INDEXED,
                to_state=DeadLetterState.PENDING,
                actor=letter.group,
                error=letter.error,
                error_type=letter.error_type,
                at=now,
            )
            for letter in new
        )
        inserted += len(new)
    return inserted


def _stored(rows: Sequence[DeadLetter]) -> QuerySet[DeadLetter]:
    """Those of the rows that the database has, by what makes them unique."""
    by_origin: dict[tuple[str, str | None, str, int | None, str], list[int | None]] = {}
    by_place: dict[tuple[str, str | None, str, int | None], list[int | None]] = {}
    for row in rows:
        if row.topic is None:
            place = (row.cluster_id, row.dlq_topic, row.dlq_topic_id, row.dlq_partition)
            by_place.setdefault(place, []).append(row.dlq_offset)
        else:
            origin = (row.cluster_id, row.topic, row.topic_id, row.partition, row.group)
            by_origin.setdefault(origin, []).append(row.offset)
    found = Q(pk__in=[])
    for (cluster_id, topic, topic_id, partition, group), offsets in by_origin.items():
        found |= Q(
            cluster_id=cluster_id,
            topic=topic,
            topic_id=topic_id,
            partition=partition,
            group=group,
            offset__in=offsets,
        )
    for (cluster_id, topic, topic_id, partition), offsets in by_place.items():
        found |= Q(
            topic__isnull=True,
            cluster_id=cluster_id,
            dlq_topic=topic,
            dlq_topic_id=topic_id,
            dlq_partition=partition,
            dlq_offset__in=offsets,
        )
    return DeadLetter.objects.filter(found)
