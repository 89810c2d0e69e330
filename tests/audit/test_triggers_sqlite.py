"""What only SQLite can be told to do."""

from __future__ import annotations

import pytest
from django.db import transaction

from gdsconsole.audit import triggers_sqlite
from tests.audit.making import COLUMNS, ROW, refuses, run, told
from tests.audit.test_triggers import REFUSED, entries

pytestmark = pytest.mark.django_db
__all__ = ["entries"]

INSERT = f"INTO audit_auditentry ({COLUMNS}) VALUES ({ROW})"
REPLACING = [
    *(f"INSERT OR REPLACE {INSERT % number}" for number in (1, 3, 6)),
    f"REPLACE {INSERT % 3}",
    # By the other key that every table has.
    *(
        f"INSERT OR REPLACE INTO audit_auditentry ({rowid}, {COLUMNS}) VALUES ({place}, {ROW % 7})"  # noqa: S608
        for rowid in ("rowid", "_rowid_", "oid")
        for place in (3, 0, -1)
    ),
    "UPDATE OR REPLACE audit_auditentry SET number = 2 WHERE number = 3",
    "UPDATE OR IGNORE audit_auditentry SET actor = 'nobody'",
    "INSERT OR REPLACE INTO audit_audithead (id, number, digest) VALUES (1, 0, 'x')",
    "INSERT OR REPLACE INTO audit_audithead (rowid, id, number, digest) VALUES (1, 1, 6, 'x')",
    "REPLACE INTO audit_audithead SELECT id, 2, 'x' FROM audit_audithead",
]


@pytest.mark.parametrize("recursive", ["ON", "OFF"])
def test_nothing_is_replaced(recursive: str) -> None:
    run(f"PRAGMA recursive_triggers = {recursive}")
    try:
        refuses([*REPLACING, *REFUSED])
    finally:
        run("PRAGMA recursive_triggers = OFF")


def test_each_hollow_body_is_named() -> None:
    for name, body in triggers_sqlite.BODIES.items():
        with transaction.atomic():
            run(f"DROP TRIGGER {name}")
            run(body[: body.index("BEGIN")] + "BEGIN SELECT 1; END")
            assert told() == [f"the trigger {name} is another one: its body was changed"]
            transaction.set_rollback(True)


def test_a_trigger_of_this_session_alone_is_named() -> None:
    run("CREATE TEMP TRIGGER swallow BEFORE INSERT ON audit_auditentry BEGIN SELECT RAISE(IGNORE); END")
    try:
        assert told() == ["the trigger swallow was added to audit_auditentry"]
    finally:
        run("DROP TRIGGER swallow")
