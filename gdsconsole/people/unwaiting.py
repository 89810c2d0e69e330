"""Writing to the database without waiting for somebody else who writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


@contextmanager
def without_waiting() -> Iterator[None]:
    """A write inside fails at once, as a `DatabaseError`, where it would wait for SQLite's one writer.

    Inside a transaction that has begun to write there is nothing to wait for. PostgreSQL locks rows, and
    these are held for a moment only.
    """
    if connection.vendor != "sqlite":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout")
        (usual,) = cursor.fetchone()
        cursor.execute("PRAGMA busy_timeout = 0")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA busy_timeout = {int(usual)}")
