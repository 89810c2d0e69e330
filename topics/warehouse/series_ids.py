"""What repeats from point to point, as the numbers the database knows it by.

Rows are made before the transaction of the points that name them, and stay when it fails: an
instance that nobody has a point of yet does no harm, and an id that was rolled back would.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from hashlib import blake2b
from itertools import islice
from sys import intern
from typing import Any, NamedTuple

import msgspec
from django.db import connection, transaction

from gdsconsole.kafka.clients import Record
from gdsconsole.kafka.partitions import TopicIdPartition
from topics import naming
from topics.models import MetricSeries, StreamPartition
from topics.telemetry import Metric

# About 50 MB of names. Beyond that the ids of those known longest are asked for again.
SERIES_KEPT = 200_000
_CHUNK = 500
_encode = msgspec.json.Encoder().encode


class SeriesKey(NamedTuple):
    """What tells series apart; `environment` and `tenant_id` are empty where nothing says."""

    database_type: str
    instance_id: str
    metric_name: str
    environment: str
    tenant_id: str


def keys_of(records: Sequence[Record], metrics: Sequence[Metric]) -> list[SeriesKey]:
    """The series of each metric. The environment is the tag's; a message without one has its topic's."""
    # Plain tuples, which equal named ones and are made in half the time.
    found: list[Any] = [
        (
            metric.database_type,
            metric.instance_id,
            metric.metric_name,
            metric.tags.get("environment") or _environment_of(record.topic() or ""),
            metric.tags.get("tenant_id", ""),
        )
        for record, metric in zip(records, metrics, strict=True)
    ]
    return found


# A new console meets all its series within a minute; by model objects they took four times as long.
_INSERT = (
    f"INSERT INTO {MetricSeries._meta.db_table} (fingerprint, {', '.join(SeriesKey._fields)})"  # noqa: S608
    " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (fingerprint) DO NOTHING"
)


class SeriesIndex:
    """The ids of series, made where they are new. One thread's."""

    def __init__(self, *, kept: int = SERIES_KEPT) -> None:
        self._ids: dict[SeriesKey, int] = {}
        self._kept = kept
        self._is_loaded = False

    def ids(self, keys: Sequence[SeriesKey]) -> list[int]:
        """The id of each. Call it outside the transaction that uses them."""
        try:
            return list(map(self._ids.__getitem__, keys))
        except KeyError:
            self._learn(set(keys))
        return list(map(self._ids.__getitem__, keys))

    def _learn(self, keys: set[SeriesKey]) -> None:
        _refuse_in_transaction()
        if not self._is_loaded:
            self._load()
            self._is_loaded = True
        missing = [key for key in keys if key not in self._ids]
        self._make_room(len(missing), keys)
        # In one order everywhere: two consumers that meet new series at once must not wait for each other.
        named = sorted((_named(key), key) for key in missing)
        for start in range(0, len(named), _CHUNK):
            chunk = named[start : start + _CHUNK]
            names = [name for name, _ in chunk]
            stored = _stored_series(names)
            new = [(name, *_clean(key)) for name, key in chunk if name not in stored]
            if new:
                with transaction.atomic(), connection.cursor() as cursor:
                    cursor.executemany(_INSERT, new)
                stored = _stored_series(names)
            self._ids |= {_shared(key): stored[name] for name, key in chunk}

    def _load(self) -> None:
        """The newest, in one query: one by one, a start would ask for each of them."""
        newest = MetricSeries.objects.order_by("-pk").values_list(*SeriesKey._fields, "pk")
        for *fields, found in newest[: self._kept // 2].iterator():
            self._ids[_shared(SeriesKey._make(fields))] = found

    def _make_room(self, count: int, needed: set[SeriesKey]) -> None:
        """Forget the half that is known longest where these would be too many; none that is needed now."""
        if len(self._ids) + count > self._kept:
            for key in list(islice(self._ids, len(self._ids) // 2)):
                if key not in needed:
                    del self._ids[key]


def origin_ids(partitions: Sequence[TopicIdPartition]) -> dict[TopicIdPartition, int]:
    """The `StreamPartition` of each, made where it is new. Call it outside the transaction that uses them."""
    _refuse_in_transaction()
    rows = [StreamPartition(**part._asdict()) for part in sorted(partitions)]
    StreamPartition.objects.bulk_create(rows, ignore_conflicts=True)
    wanted = set(partitions)
    found = StreamPartition.objects.filter(topic_id__in={part.topic_id for part in wanted})
    ids = {TopicIdPartition(row.topic, row.partition, row.topic_id, row.cluster_id): row.pk for row in found}
    return {part: ids[part] for part in wanted}


def without_nul(text: str) -> str:
    """PostgreSQL's text can't hold it, JSON's can."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _shared(key: SeriesKey) -> SeriesKey:
    """The key of names that other keys have too: of 100 metrics of an instance, its name is there once."""
    return SeriesKey._make(map(intern, key))


def _stored_series(names: Iterable[str]) -> dict[str, int]:
    return dict(MetricSeries.objects.filter(fingerprint__in=names).values_list("fingerprint", "pk"))


def _named(key: SeriesKey) -> str:
    """32 hexadecimal digits that stand for the names."""
    return blake2b(_encode(_clean(key)), digest_size=16).hexdigest()


def _clean(key: SeriesKey) -> SeriesKey:
    return SeriesKey._make(map(without_nul, key))


@cache
def _environment_of(topic: str) -> str:
    return naming.environment_of(topic) or ""


def _refuse_in_transaction() -> None:
    if transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError("series are made before the points' transaction")
