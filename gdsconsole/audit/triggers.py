"""Triggers that make the log append-only, whoever talks to the database.

They stop mistakes and honest tools. Someone who may change the schema can drop them; the chain is what
shows it then (`verifying.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db.backends.base.base import BaseDatabaseWrapper

NAMES = frozenset(
    {
        "audit_entry_not_updated",
        "audit_entry_not_deleted",
        "audit_head_only_grows",
        "audit_head_not_deleted",
    }
)
_SQLITE = (
    """CREATE TRIGGER audit_entry_not_updated BEFORE UPDATE ON audit_auditentry
       BEGIN SELECT RAISE(ABORT, 'the audit log is append-only: an entry is not changed'); END""",
    """CREATE TRIGGER audit_entry_not_deleted BEFORE DELETE ON audit_auditentry
       BEGIN SELECT RAISE(ABORT, 'the audit log is append-only: an entry is not deleted'); END""",
    """CREATE TRIGGER audit_head_only_grows BEFORE UPDATE ON audit_audithead
       WHEN NEW.number <> OLD.number + 1
       BEGIN SELECT RAISE(ABORT, 'the audit log is append-only: its head only grows'); END""",
    """CREATE TRIGGER audit_head_not_deleted BEFORE DELETE ON audit_audithead
       BEGIN SELECT RAISE(ABORT, 'the audit log is append-only: its head is not deleted'); END""",
)
_POSTGRESQL = (
    """CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
       BEGIN
         RAISE EXCEPTION 'the audit log is append-only: % of % is refused', TG_OP, TG_TABLE_NAME
           USING ERRCODE = 'integrity_constraint_violation';
       END $$""",
    """CREATE TRIGGER audit_entry_not_updated BEFORE UPDATE ON audit_auditentry
       FOR EACH ROW EXECUTE FUNCTION audit_refuse()""",
    """CREATE TRIGGER audit_entry_not_deleted BEFORE DELETE ON audit_auditentry
       FOR EACH ROW EXECUTE FUNCTION audit_refuse()""",
    """CREATE TRIGGER audit_entry_not_truncated BEFORE TRUNCATE ON audit_auditentry
       FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()""",
    """CREATE TRIGGER audit_head_only_grows BEFORE UPDATE ON audit_audithead
       FOR EACH ROW WHEN (NEW.number <> OLD.number + 1) EXECUTE FUNCTION audit_refuse()""",
    """CREATE TRIGGER audit_head_not_deleted BEFORE DELETE ON audit_audithead
       FOR EACH ROW EXECUTE FUNCTION audit_refuse()""",
    """CREATE TRIGGER audit_head_not_truncated BEFORE TRUNCATE ON audit_audithead
       FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()""",
)
_FOUND = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
    # 'D' is a trigger that was disabled.
    "postgresql": "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'D'",
}


def create(connection: BaseDatabaseWrapper) -> None:
    """Raises NotImplementedError for a database whose triggers nobody wrote."""
    if connection.vendor not in _FOUND:
        raise NotImplementedError(f"the audit log has no triggers for {connection.vendor}")
    _run(connection, _POSTGRESQL if connection.vendor == "postgresql" else _SQLITE)


def drop(connection: BaseDatabaseWrapper) -> None:
    """The inverse of `create`."""
    if connection.vendor == "postgresql":
        _run(connection, ("DROP FUNCTION IF EXISTS audit_refuse() CASCADE",))
    else:
        _run(connection, tuple(f"DROP TRIGGER IF EXISTS {name}" for name in sorted(NAMES)))


def missing(connection: BaseDatabaseWrapper) -> list[str]:
    """The triggers that ought to be there and aren't: someone dropped them."""
    with connection.cursor() as cursor:
        cursor.execute(_FOUND[connection.vendor])
        return sorted(NAMES - {name for (name,) in cursor.fetchall()})


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
