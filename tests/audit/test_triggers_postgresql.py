"""What only PostgreSQL can be told to do. Run by tests/integration/test_postgresql.py."""

from __future__ import annotations

import pytest

from gdsconsole.audit.triggers_postgresql import TRIGGERS
from tests.audit.making import refuses, run, told
from tests.audit.test_triggers import REFUSED, entries

pytestmark = pytest.mark.django_db
__all__ = ["entries"]

TRUNCATING = [
    "TRUNCATE audit_auditentry",
    "TRUNCATE audit_audithead",
    "TRUNCATE audit_auditentry, audit_audithead CASCADE",
]


@pytest.mark.parametrize("role", ["origin", "replica", "local"])
def test_nothing_is_changed_in_a_session_of_any_role(role: str) -> None:
    run(f"SET LOCAL session_replication_role = {role}")
    refuses([*TRUNCATING, *REFUSED])


@pytest.mark.parametrize("name", ["audit_refuse", "audit_entry_is_next", "audit_head_follows"])
def test_a_hollow_function_is_named(name: str) -> None:
    run(f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog "
        "AS $$BEGIN RETURN NEW; END$$")  # fmt: skip
    by = sorted(one for one, made in TRIGGERS.items() if made.function == name)
    assert told() == [f"the trigger {one} is another one: its body was changed" for one in by]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("ALTER TABLE audit_auditentry DISABLE TRIGGER audit_entry_not_updated",
         "the trigger audit_entry_not_updated is disabled"),
        ("ALTER TABLE audit_auditentry ENABLE TRIGGER audit_entry_not_updated",
         "the trigger audit_entry_not_updated does not fire in a replica's session"),
        ("ALTER TABLE audit_auditentry ENABLE REPLICA TRIGGER audit_entry_not_updated",
         "the trigger audit_entry_not_updated fires in a replica's session only"),
        ("ALTER FUNCTION audit_refuse() RESET search_path",
         "the trigger audit_entry_not_deleted is another one: its body was changed"),
        ("CREATE RULE quiet AS ON UPDATE TO audit_auditentry DO INSTEAD NOTHING",
         "the rule quiet was added to audit_auditentry"),
        ("ALTER TABLE audit_auditentry ENABLE ROW LEVEL SECURITY",
         "row-level security hides rows of audit_auditentry"),
        ("CREATE TABLE more () INHERITS (audit_auditentry)", "the table more adds rows to audit_auditentry"),
    ],
)  # fmt: skip
def test_what_stands_beside_the_triggers_is_named(sql: str, expected: str) -> None:
    run(sql)
    assert told()[0] == expected


def test_all_triggers_disabled_are_named() -> None:
    run("ALTER TABLE audit_auditentry DISABLE TRIGGER ALL")
    assert told() == [
        f"the trigger audit_entry_{what} is disabled"
        for what in ("not_deleted", "not_truncated", "not_updated", "only_next")
    ]
