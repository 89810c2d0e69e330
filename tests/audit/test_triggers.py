"""What the database refuses, and what is said of triggers that are no longer what was made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from gdsconsole.audit import services, triggers
from gdsconsole.audit.models import AuditEntry
from gdsconsole.audit.verification import verify
from tests.audit.making import COLUMNS, NOW, ROW, drop_trigger, make_chain, refuses, run, told

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def entries(settings: Any, tmp_path: Path) -> list[AuditEntry]:
    settings.GDS_DATA_DIR = tmp_path
    return make_chain()


REFUSED = [
    "UPDATE audit_auditentry SET actor = 'nobody' WHERE number = 3",
    "UPDATE audit_auditentry SET number = 7 WHERE number = 3",
    "DELETE FROM audit_auditentry WHERE number = 3",
    "UPDATE audit_audithead SET number = 7",
    "UPDATE audit_audithead SET digest = 'x'",
    "UPDATE audit_audithead SET number = 3",
    "DELETE FROM audit_audithead",
    "INSERT INTO audit_audithead (id, number, digest) VALUES (2, 0, 'x')",
    *(
        f"INSERT INTO audit_auditentry ({COLUMNS}) VALUES ({ROW % number}){conflict}"  # noqa: S608
        for number in (1, 3, 6, 8, 0, -1)
        for conflict in (
            "",
            " ON CONFLICT (number) DO UPDATE SET actor = 'nobody'",
            " ON CONFLICT DO NOTHING",
        )
    ),
]


def test_the_database_refuses() -> None:
    refuses(REFUSED)


def test_each_missing_trigger_is_named() -> None:
    for name in sorted(triggers.names(connection)):
        with transaction.atomic():
            drop_trigger(name)
            assert told() == [f"the trigger {name} is missing"]
            transaction.set_rollback(True)


def test_a_trigger_of_a_condition_is_another_one() -> None:
    drop_trigger("audit_entry_not_updated")
    body = "BEGIN SELECT RAISE(ABORT, 'append-only'); END" if connection.vendor == "sqlite" else (
        "EXECUTE FUNCTION audit_refuse()")  # fmt: skip
    each = "" if connection.vendor == "sqlite" else "FOR EACH ROW "
    run(f"CREATE TRIGGER audit_entry_not_updated BEFORE UPDATE ON audit_auditentry {each}"
        f"WHEN (NEW.actor <> 'nobody') {body}")  # fmt: skip
    assert "the trigger audit_entry_not_updated is another one: its body was changed" in told()


def test_a_trigger_and_an_index_that_were_added_are_named() -> None:
    if connection.vendor == "sqlite":
        run("CREATE TRIGGER swallow BEFORE INSERT ON audit_auditentry BEGIN SELECT RAISE(IGNORE); END")
    else:
        run("CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$")
        run(
            "CREATE TRIGGER swallow BEFORE INSERT ON audit_auditentry FOR EACH ROW EXECUTE FUNCTION swallow()"
        )
    run("CREATE UNIQUE INDEX one_sentence ON audit_auditentry (sentence)")
    assert told() == [
        "the trigger swallow was added to audit_auditentry",
        "the unique index one_sentence was added to audit_auditentry",
    ]


def test_a_view_in_a_tables_place_is_named() -> None:
    run("ALTER TABLE audit_auditentry RENAME TO hidden")
    run("CREATE VIEW audit_auditentry AS SELECT * FROM hidden")
    assert "audit_auditentry is not a table any more" in told()


def test_triggers_put_back_are_whole() -> None:
    with triggers.lifted(connection):
        assert len(told()) == len(triggers.names(connection))
    assert verify().is_intact


def test_triggers_are_mended_and_the_log_says_so() -> None:
    drop_trigger("audit_entry_not_updated")
    fault = "the trigger audit_entry_not_updated is missing"
    assert services.mend_triggers(actor="cli:root", reason="looked into", now=NOW) == [fault]
    entry = AuditEntry.objects.get(number=7)
    assert (entry.reason, entry.changes) == ("looked into", {"fault 1": (fault, None)})
    with pytest.raises(DatabaseError, match="append-only"):
        run("UPDATE audit_auditentry SET actor = 'nobody'")
    assert services.mend_triggers(actor="cli:root", reason="again", now=NOW) == []
    assert verify().is_intact
