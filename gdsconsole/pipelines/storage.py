"""The database as something that may be away for a while."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

import redis
from django.db import DatabaseError, InterfaceError, OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from gdsconsole.kafka.errors import FailureKind, TransientError, classify
from gdsconsole.kafka.failures import Failure
from gdsconsole.kafka.steps import Batch, PartitionId, Step
from gdsconsole.pipelines.models import PartitionFailure

# What a lock may keep a pipeline from polling; it tries again, paused, for as long as it takes. A turn asks
# the database for several things: for a while after one that waited in vain, the others wait less.
LOCK_TIMEOUT_MS = 1_000
IMPATIENT_LOCK_TIMEOUT_MS = 200
IMPATIENT_S = 2.0
STATEMENT_TIMEOUT_MS = 60_000
# A copy that is frozen in a transaction loses it, and the rows it has locked, before its lease is over.
# SQLite has nothing like it: there the lock is free again when the copy thaws or dies.
IDLE_IN_TRANSACTION_TIMEOUT_MS = 10_000
_IDLE_IN_TRANSACTION = "25P03"

_AWAY = (OperationalError, InterfaceError)

classify_failure = partial(classify, transient=(*_AWAY, redis.ConnectionError, redis.TimeoutError))


class StorageUnavailable(TransientError):
    """The database is locked or away."""


class Patience:
    """Whether this process has just waited in vain for the database."""

    def __init__(self) -> None:
        self._short_until = 0.0

    @property
    def is_short(self) -> bool:
        return time.monotonic() < self._short_until

    def lost(self) -> None:
        self._short_until = time.monotonic() + IMPATIENT_S

    def regained(self) -> bool:
        """Whether it was short until now; said once."""
        if not self._short_until or self.is_short:
            return False
        self._short_until = 0.0
        return True


_patience = Patience()


@contextmanager
def storage() -> Iterator[None]:
    """Makes an outage of the database a `TransientError`, and the next use of it a new connection."""
    try:
        yield
    except DatabaseError as error:
        if not _is_away(error):
            raise
        _patience.lost()
        if not connection.in_atomic_block:
            connection.close()
        raise StorageUnavailable(f"database: {error}") from error
    if _patience.regained() and not connection.in_atomic_block:
        # How long a connection waits is set when it is made.
        connection.close()


def _is_away(error: DatabaseError) -> bool:
    # The driver has an internal error for a transaction that was idle for too long.
    frozen = getattr(error.__cause__, "sqlstate", None) == _IDLE_IN_TRANSACTION
    return frozen or isinstance(error, _AWAY)


def bound_waits() -> None:
    """Let no lock hold this process up for longer than a pipeline may go without polling."""
    connection_created.connect(_bound, dispatch_uid="pipelines-bound-waits")
    connection.close()


def unbound_waits() -> None:
    """The inverse of `bound_waits`."""
    connection_created.disconnect(_bound, dispatch_uid="pipelines-bound-waits")
    connection.close()


def _bound(connection: BaseDatabaseWrapper, **_: Any) -> None:
    patience_ms = IMPATIENT_LOCK_TIMEOUT_MS if _patience.is_short else LOCK_TIMEOUT_MS
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(f"PRAGMA busy_timeout = {patience_ms}")
        elif connection.vendor == "postgresql":
            cursor.execute(f"SET lock_timeout = {patience_ms}")
            cursor.execute(f"SET statement_timeout = {STATEMENT_TIMEOUT_MS}")
            cursor.execute(f"SET idle_in_transaction_session_timeout = {IDLE_IN_TRANSACTION_TIMEOUT_MS}")


class StoredStep:
    """A step whose outages of the database are transient, whatever it raises for them."""

    def __init__(self, step: Step[Any]) -> None:
        self._step = step

    @property
    def written(self) -> int | None:
        written: int | None = getattr(self._step, "written", None)
        return written

    def assigned(self, partitions: Sequence[PartitionId]) -> Mapping[PartitionId, int]:
        with storage():
            return self._step.assigned(partitions)

    def handle(self, batch: Batch[Any]) -> bool:
        with storage():
            return self._step.handle(batch)

    def revoked(self, partitions: Sequence[PartitionId]) -> None:
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

    def load(self, partitions: Sequence[PartitionId]) -> Mapping[PartitionId, Failure]:
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

    def clear(self, partition: PartitionId) -> None:
        with storage():
            PartitionFailure.objects.filter(group=self._group, **partition._asdict()).delete()


def _from_row(row: PartitionFailure) -> Failure:
    return Failure(
        partition=PartitionId(row.topic, row.partition, row.topic_id, row.cluster_id),
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
