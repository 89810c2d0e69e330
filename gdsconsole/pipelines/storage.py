"""The database as something that may be away for a while."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import redis
from django.db import DatabaseError, InterfaceError, connection

from gdsconsole.database.outages import outage_of
from gdsconsole.database.timeouts import patience
from gdsconsole.kafka.consuming.retries import Failure
from gdsconsole.kafka.errors import FailureKind, TransientError, classify
from gdsconsole.kafka.partitions import TopicIdPartition
from gdsconsole.kafka.step import Batch, Step
from gdsconsole.pipelines.models import PartitionFailure


def classify_failure(error: BaseException) -> FailureKind:
    """The kind of a failure: an outage of a store is transient, whatever class its driver has for it."""
    kind = classify(error, transient=(redis.ConnectionError, redis.TimeoutError, redis.ReadOnlyError))
    is_outage = kind is FailureKind.UNKNOWN and (outage_of(error) is not None or _is_refusal(error))
    return FailureKind.TRANSIENT if is_outage else kind


def _is_refusal(error: BaseException) -> bool:
    """Whether Redis answers, and takes no writes of anybody for a while."""
    if isinstance(error, redis.OutOfMemoryError):
        return True
    return isinstance(error, redis.ResponseError) and _REFUSED.search(str(error)) is not None


# No replica, a disk that can't be written, a failover, full memory, a cluster without a part of its slots.
_REFUSED = re.compile(r"\b(NOREPLICAS|MISCONF|READONLY|OOM|MASTERDOWN|CLUSTERDOWN|TRYAGAIN)\b")


class StorageUnavailable(TransientError):
    """The database is locked or away."""


@contextmanager
def storage() -> Iterator[None]:
    """Makes an outage of the database a `TransientError`, and the next use of it a new connection."""
    try:
        yield
    except (DatabaseError, InterfaceError) as error:
        outage = outage_of(error)
        if outage is None:
            raise
        patience.lost()
        if not connection.in_atomic_block:
            connection.close()
        raise StorageUnavailable(f"the database is {outage.cause.value}: {outage.detail}") from error
    if patience.regained() and not connection.in_atomic_block:
        # How long a connection waits is set when it is made.
        connection.close()


class StoredStep:
    """A step whose outages of the database are transient, whatever it raises for them."""

    def __init__(self, step: Step[Any]) -> None:
        self._step = step

    @property
    def written(self) -> int | None:
        written: int | None = getattr(self._step, "written", None)
        return written

    def assigned(self, partitions: Sequence[TopicIdPartition]) -> Mapping[TopicIdPartition, int]:
        with storage():
            return self._step.assigned(partitions)

    def handle(self, batch: Batch[Any]) -> bool:
        with storage():
            return self._step.handle(batch)

    def revoked(self, partitions: Sequence[TopicIdPartition]) -> None:
        self._step.revoked(partitions)

    def tick(self, now: datetime) -> None:
        with storage():
            self._step.tick(now)

    def close(self) -> None:
        self._step.close()


class StoredFailures:
    """The failures of a group in the database, where the next owner of a partition finds them."""

    def __init__(self, group: str) -> None:
        self._group = group

    def load(self, partitions: Sequence[TopicIdPartition]) -> Mapping[TopicIdPartition, Failure]:
        wanted = set(partitions)
        rows = PartitionFailure.objects.filter(group=self._group, topic__in={part.topic for part in wanted})
        with storage():
            found = [_from_row(row) for row in rows]
        return {failure.partition: failure for failure in found if failure.partition in wanted}

    def save(self, failure: Failure) -> None:
        with storage():
            PartitionFailure.objects.update_or_create(
                group=self._group,
                **failure.partition._asdict(),
                defaults={
                    "offset": failure.offset,
                    "kind": failure.kind.value,
                    "attempt": failure.attempt,
                    "first_failed_at": _as_datetime(failure.first_failed_at),
                    "last_failed_at": _as_datetime(failure.last_failed_at),
                    "next_try_at": _as_datetime(failure.next_try_at),
                    "error_type": failure.error_type,
                    "error": failure.error,
                },
            )

    def clear(self, partition: TopicIdPartition) -> None:
        with storage():
            PartitionFailure.objects.filter(group=self._group, **partition._asdict()).delete()


def _from_row(row: PartitionFailure) -> Failure:
    return Failure(
        partition=TopicIdPartition(row.topic, row.partition, row.topic_id, row.cluster_id),
        offset=row.offset,
        kind=FailureKind(row.kind),
        attempt=row.attempt,
        first_failed_at=row.first_failed_at.timestamp(),
        last_failed_at=row.last_failed_at.timestamp(),
        next_try_at=row.next_try_at.timestamp(),
        error_type=row.error_type,
        error=row.error,
    )


def _as_datetime(moment: float) -> datetime:
    return datetime.fromtimestamp(moment, UTC)
