"""Triggers that make the log append-only, whoever talks to the database.

They stop mistakes and honest tools. Someone who may change the schema can drop or hollow them: `faults` says
so, and the sealed chain and the anchor show what was done meanwhile (`verification.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from django.db.backends.base.base import BaseDatabaseWrapper

from gdsconsole.audit import triggers_postgresql, triggers_sqlite

_BY_VENDOR: dict[str, ModuleType] = {"sqlite": triggers_sqlite, "postgresql": triggers_postgresql}


def create(connection: BaseDatabaseWrapper) -> None:
    """Raises NotImplementedError for a database whose triggers nobody wrote."""
    if connection.vendor not in _BY_VENDOR:
        raise NotImplementedError(f"the audit log has no triggers for {connection.vendor}")
    _run(connection, _BY_VENDOR[connection.vendor].CREATE)


def drop(connection: BaseDatabaseWrapper) -> None:
    """The inverse of `create`."""
    _run(connection, _BY_VENDOR[connection.vendor].DROP)


def names(connection: BaseDatabaseWrapper) -> frozenset[str]:
    """The triggers that ought to be there."""
    return frozenset(_BY_VENDOR[connection.vendor].NAMES)


def faults(connection: BaseDatabaseWrapper) -> list[str]:
    """What is no longer as `create` made it, and what was added beside it, in words."""
    found: list[str] = _BY_VENDOR[connection.vendor].faults(connection)
    return found


@contextmanager
def lifted(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Without the triggers inside: for a test database that is emptied between two tests."""
    drop(connection)
    try:
        yield
    finally:
        create(connection)


def _run(connection: BaseDatabaseWrapper, statements: tuple[str, ...]) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
