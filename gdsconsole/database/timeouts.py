"""How long a process waits for the database, by what it would keep waiting.

SQLite lets one connection write at a time, and PostgreSQL holds whoever meets a locked table, readers too; by
themselves both would keep a page, or a pipeline that has to poll, for longer than anybody should wait. Where
one has just waited in vain, the others of its process wait less for a while: a page and a turn of a
pipeline ask the database for several things.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

_UID = "bound-waits"
IMPATIENT_S = 2.0


@dataclass(frozen=True, slots=True)
class Waits:
    """In milliseconds; None is without end. The last two are PostgreSQL's alone."""

    lock: int
    impatient_lock: int
    statement: int | None = None
    idle_in_transaction: int | None = None


# Commands and scheduled tasks: nobody waits for them second by second.
DEFAULT = Waits(lock=10_000, impatient_lock=10_000)
# Somebody looks at an empty page meanwhile.
PAGES = Waits(lock=4_000, impatient_lock=500, statement=30_000)
# What a lock may keep a pipeline from polling. A consumer that is frozen in a transaction loses it, and the
# rows it has locked, before its lease is over; SQLite has nothing like it: there the lock is free again
# when the consumer thaws or dies.
PIPELINES = Waits(lock=1_000, impatient_lock=200, statement=60_000, idle_in_transaction=10_000)


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


patience = Patience()


def bound_waits(waits: Waits) -> None:
    """Let this process wait no longer than this, from its next connection on."""

    def bound(connection: BaseDatabaseWrapper, **_: Any) -> None:
        apply_waits(connection, waits, lock_ms=waits.impatient_lock if patience.is_short else waits.lock)

    connection_created.disconnect(dispatch_uid=_UID)
    connection_created.connect(bound, dispatch_uid=_UID, weak=False)
    connection.close()


def unbound_waits() -> None:
    """Back to what every process begins with."""
    bound_waits(DEFAULT)


def apply_waits(connection: BaseDatabaseWrapper, waits: Waits, *, lock_ms: int) -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(f"PRAGMA busy_timeout = {lock_ms}")
        elif connection.vendor == "postgresql":
            cursor.execute(f"SET lock_timeout = {lock_ms}")
            cursor.execute(f"SET statement_timeout = {waits.statement or 0}")
            cursor.execute(f"SET idle_in_transaction_session_timeout = {waits.idle_in_transaction or 0}")


@contextmanager
def hurried(lock_ms: int) -> Iterator[None]:
    """A transaction that waits for no lock longer than this, and for no statement longer than twice that."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            usual_ms = cursor.execute("PRAGMA busy_timeout").fetchone()[0]
            cursor.execute(f"PRAGMA busy_timeout = {lock_ms}")
            try:
                with transaction.atomic():
                    yield
            finally:
                cursor.execute(f"PRAGMA busy_timeout = {usual_ms}")
    else:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = {lock_ms}")
            cursor.execute(f"SET LOCAL statement_timeout = {2 * lock_ms}")
            yield
