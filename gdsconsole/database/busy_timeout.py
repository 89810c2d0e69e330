"""Writes that don't wait long for somebody else who writes: SQLite has one writer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


@contextmanager
def waiting_at_most(milliseconds: int) -> Iterator[None]:
    """A write inside fails with a `DatabaseError` where SQLite's writer stays busy for longer than this.

    Inside a transaction that has begun to write there is nothing to wait for. PostgreSQL locks rows, and
    these are held for a moment only.
    """
    if connection.vendor != "sqlite":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout")
        (usual,) = cursor.fetchone()
        cursor.execute(f"PRAGMA busy_timeout = {int(milliseconds)}")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA busy_timeout = {int(usual)}")
