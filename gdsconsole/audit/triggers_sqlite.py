"""The log's triggers on SQLite.

`INSERT OR REPLACE` deletes the rows it is in conflict with and, by default, without their triggers for
deletion; so what would be in conflict is refused before. The tables' keys are columns of their own beside
SQLite's rowid, which is one more key that a statement may name.
"""

from __future__ import annotations

import re

from django.db.backends.base.base import BaseDatabaseWrapper

TABLES = ("audit_auditentry", "audit_audithead")


def _trigger(name: str, event: str, condition: str, refused: str) -> str:
    when = f" WHEN {condition}" if condition else ""
    return f"""CREATE TRIGGER {name} {event}{when}
       BEGIN SELECT RAISE(ABORT, 'the audit log is append-only: {refused}'); END"""


CREATE = (
    _trigger("audit_entry_not_updated", "BEFORE UPDATE ON audit_auditentry", "", "an entry is not changed"),
    _trigger("audit_entry_not_deleted", "BEFORE DELETE ON audit_auditentry", "", "an entry is not deleted"),
    _trigger(
        "audit_entry_only_next",
        "BEFORE INSERT ON audit_auditentry",
        """EXISTS (SELECT 1 FROM audit_auditentry WHERE number = NEW.number OR rowid = NEW.rowid)
       OR NEW.number IS NOT COALESCE((SELECT number FROM audit_audithead WHERE id = 1), 0) + 1""",
        "an entry is not replaced and has the next number",
    ),
    # Before the insert, a row that names no rowid seems to name -1.
    _trigger(
        "audit_entry_in_order",
        "AFTER INSERT ON audit_auditentry",
        "NEW.rowid < 1",
        "an entry has no place of its own",
    ),
    _trigger(
        "audit_head_only_grows",
        "BEFORE UPDATE ON audit_audithead",
        """NEW.id <> OLD.id OR NEW.number <> OLD.number + 1
       OR NEW.digest IS NOT (SELECT digest FROM audit_auditentry WHERE number = NEW.number)""",
        "its head only grows",
    ),
    _trigger("audit_head_not_deleted", "BEFORE DELETE ON audit_audithead", "", "its head is not deleted"),
    _trigger(
        "audit_head_only_one",
        "BEFORE INSERT ON audit_audithead",
        """EXISTS (SELECT 1 FROM audit_audithead)
       OR NEW.number IS NOT COALESCE((SELECT MAX(number) FROM audit_auditentry), 0)""",
        "it has one head, at its newest entry",
    ),
)
_NAME = re.compile(r"CREATE TRIGGER (\w+)")
BODIES = {_NAME.match(statement)[1]: " ".join(statement.split()) for statement in CREATE}  # type: ignore[index]
NAMES = tuple(BODIES)
DROP = tuple(f"DROP TRIGGER IF EXISTS {name}" for name in BODIES)


def faults(connection: BaseDatabaseWrapper) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT type, name, tbl_name, sql FROM sqlite_master")
        schema = cursor.fetchall()
        cursor.execute("SELECT type, name, tbl_name, sql FROM sqlite_temp_master")
        schema += cursor.fetchall()
        unique = []
        for table in TABLES:
            cursor.execute(
                "SELECT name FROM pragma_index_list(%s) WHERE \"unique\" AND origin <> 'pk'", [table]
            )
            unique += [(table, name) for (name,) in cursor.fetchall()]
    kinds = {name: kind for kind, name, _, _ in schema if kind in ("table", "view")}
    found = [f"{table} is not a table any more" for table in TABLES if kinds.get(table) != "table"]
    there = {name: (table, " ".join(sql.split())) for kind, name, table, sql in schema if kind == "trigger"}
    for name, body in sorted(BODIES.items()):
        if name not in there:
            found.append(f"the trigger {name} is missing")
        elif there[name][1] != body:
            found.append(f"the trigger {name} is another one: its body was changed")
    found += [
        f"the trigger {name} was added to {table}"
        for name, (table, _) in sorted(there.items())
        if table in TABLES and name not in BODIES
    ]
    # A second unique key is one more that a REPLACE can be in conflict with.
    return found + [f"the unique index {name} was added to {table}" for table, name in sorted(unique)]
