"""Bare drivers writing rows into the warehouse's own table: what its writer is measured beside.

They are given rows that are ready to write: decoded, with the ids of their series, times as the database
wants them. They move no progress, and fence nobody.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import psycopg
from django.db import connection
from psycopg.types.json import Jsonb

from topics.models import MetricPoint

TABLE = MetricPoint._meta.db_table
COLUMNS = 'origin_id, "offset", series_id, at, stored_at, value, tags'
INSERT = f"INSERT OR IGNORE INTO {TABLE} ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
UNSTAGE = f"INSERT INTO {TABLE} ({COLUMNS}) SELECT {COLUMNS} FROM staging ON CONFLICT DO NOTHING"  # noqa: S608
TYPES = ("int4", "int8", "int4", "timestamptz", "timestamptz", "float8", "jsonb")
Rows = Sequence[tuple[Any, ...]]


def emptied() -> None:
    """The table as a migration makes it, so that every run begins with the same pages."""
    with connection.schema_editor() as editor:
        editor.delete_model(MetricPoint)
    with connection.schema_editor() as editor:
        editor.create_model(MetricPoint)


class BareSqlite:
    """`executemany` of INSERT OR IGNORE, a transaction a batch."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            self._connection.execute(f"PRAGMA {pragma}")

    @staticmethod
    def ready(row: tuple[Any, ...]) -> tuple[Any, ...]:
        origin, offset, series, at, stored_at, value, tags = row
        times = (str(time.replace(tzinfo=None)) for time in (at, stored_at))
        return (origin, offset, series, *times, value, tags)

    def or_ignore(self, rows: Rows) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(INSERT, rows)
        self._connection.execute("COMMIT")

    def close(self) -> None:
        self._connection.close()


class BarePostgresql:
    """COPY, into the table or into a staging table first, a transaction a batch."""

    def __init__(self) -> None:
        parameters = connection.get_connection_params()
        wanted = {name: parameters[name] for name in ("dbname", "user", "host", "port") if name in parameters}
        self._connection = psycopg.connect(**wanted, autocommit=True)
        self._connection.execute(f"CREATE TEMPORARY TABLE staging (LIKE {TABLE}) ON COMMIT DELETE ROWS")

    @staticmethod
    def ready(row: tuple[Any, ...]) -> tuple[Any, ...]:
        return (*row[:-1], Jsonb(row[-1], dumps=lambda text: text))

    def copy(self, rows: Rows, table: str = TABLE) -> None:
        """Plain and binary."""
        with self._connection.transaction(), self._connection.cursor() as cursor:
            self._copy(cursor, rows, table, "(FORMAT binary)", TYPES)

    def staged(self, rows: Rows) -> None:
        """Text into a staging table, then INSERT ... ON CONFLICT DO NOTHING."""
        with self._connection.transaction(), self._connection.cursor() as cursor:
            self._copy(cursor, rows, "staging", "", None)
            cursor.execute(UNSTAGE)

    def staged_binary(self, rows: Rows) -> None:
        """The same, binary."""
        with self._connection.transaction(), self._connection.cursor() as cursor:
            self._copy(cursor, rows, "staging", "(FORMAT binary)", TYPES)
            cursor.execute(UNSTAGE)

    def close(self) -> None:
        self._connection.close()

    @staticmethod
    def _copy(cursor: Any, rows: Rows, table: str, how: str, types: Sequence[str] | None) -> None:
        with cursor.copy(f"COPY {table} ({COLUMNS}) FROM STDIN {how}") as copy:
            if types:
                copy.set_types(types)
            for row in rows:
                copy.write_row(row)
