"""Adding to the log."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, OperationalError, connection, connections, transaction
from django.db.models import Q

from gdsconsole.audit import attempts, chain, keys, services
from gdsconsole.audit.attempts import REFUSED_IN_ALL, REFUSED_OF_ONE, Kin, record_refusal
from gdsconsole.audit.models import AuditEntry, AuditHead, Outcome, RefusalCount
from gdsconsole.audit.services import record
from gdsconsole.audit.verification import verify
from tests.audit.making import NOW, make_entry

pytestmark = pytest.mark.django_db


def test_entries_are_numbered_and_chained():
    first, second = make_entry(), make_entry(actor="admin")
    assert (first.number, first.previous) == (1, chain.START)
    assert (second.number, second.previous) == (2, first.digest)
    stored = AuditEntry.objects.get(number=2)
    secret = keys.ring().current.secret
    assert stored.computed_digest(secret) == stored.digest == AuditHead.objects.get().digest


@pytest.mark.django_db(transaction=True)
def test_without_a_transaction_there_is_no_entry():
    with pytest.raises(transaction.TransactionManagementError):
        record(actor="operator", action="pipeline.pause", sentence="paused pipeline alerting", now=NOW)
    assert not AuditEntry.objects.exists()


def test_a_deed_that_is_rolled_back_leaves_no_entry_and_no_gap():
    make_entry()
    with transaction.atomic():
        make_entry()
        transaction.set_rollback(True)
    assert make_entry().number == 2
    assert verify().is_intact


@pytest.mark.parametrize("action", ["pause", "pipeline.", "Pipeline.pause", "a.b.c", "pipeline.pause now"])
def test_an_action_is_area_and_verb(action):
    with pytest.raises(ValueError, match=r"action: .* is not area\.verb"):
        make_entry(action=action)


def test_texts_become_one_printable_line_of_bounded_length():
    entry = make_entry(actor="x" * 500, sentence="paused\n\x00\x1b[31m  pipeline‮ alerting", reason="y" * 900)
    assert (len(entry.actor), len(entry.reason)) == (160, 500)
    assert entry.sentence == "paused [31m pipeline alerting"
    assert verify().is_intact


def test_changes_keep_before_and_after_of_what_is_another():
    changes = services.changes_between(
        {"consumers": 1, "state": "running"}, {"consumers": 3, "state": "running"}
    )
    assert changes == {"consumers": (1, 3)}
    big = {"config": ({"a": 1}, {"a": "z" * 1000}), "rate": (0.1, 1e22), "gone": (None, NOW)}
    entry = AuditEntry.objects.get(number=make_entry(changes=big).number)
    assert entry.changes["rate"] == (0.1, 1e22)
    assert entry.changes["config"][0] == '{"a": 1}'
    assert len(entry.changes["config"][1]) == services.MAX_VALUE
    assert verify().is_intact


def test_of_very_many_changes_some_are_kept_and_the_rest_is_counted():
    entry = make_entry(changes={f"dead letter {n}": ("pending", "discarded") for n in range(1_000)})
    assert len(entry.changes) == services.MAX_CHANGES
    assert '"more": 950' in entry.details


@pytest.mark.django_db(transaction=True)
def test_writers_at_the_same_time_make_one_chain():
    """Each of 4 threads writes 25 entries; a naive writer, without the head's lock, would fork the chain."""
    failed: list[Exception] = []

    def write(actor: str) -> None:
        try:
            for _ in range(25):
                make_entry(actor=actor)
        except Exception as error:
            failed.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=write, args=(f"writer-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    assert list(AuditEntry.objects.order_by("number").values_list("number", flat=True)) == list(range(1, 101))
    assert verify().is_intact


def test_refusals_of_one_are_bounded_and_the_last_says_so():
    def refuse(actor: str, second: float = 0) -> AuditEntry | None:
        return record_refusal(
            actor=actor,
            action="access.refused",
            sentence="tried POST /x/",
            now=NOW + timedelta(seconds=second),
        )

    kept = [entry for entry in (refuse("viewer", n) for n in range(30)) if entry]
    assert len(kept) == REFUSED_OF_ONE
    assert kept[0].reason == ""
    assert kept[-1].reason == "more of them within a minute are counted"
    assert kept[-1].outcome == Outcome.REFUSED
    assert refuse("outsider", 40) is not None
    assert refuse("viewer", 90) is not None


def test_refusals_of_many_are_bounded_together():
    for number in range(REFUSED_IN_ALL + 20):
        record_refusal(
            actor="somebody",
            action="access.sign-in-failed",
            sentence="could not sign in",
            target=f"user-{number}",
            now=NOW,
            kin=Kin(f"user-{number}", Q(target=f"user-{number}"), "could not sign in"),
        )
    assert AuditEntry.objects.count() == REFUSED_IN_ALL
    assert attempts.tell_counts(now=NOW) == 20
    assert attempts_told() == REFUSED_IN_ALL + 20


def attempts_told() -> int:
    """Of how many refused attempts the log tells, one by one and as numbers."""
    return sum(
        entry.changes["attempts"][1] if "attempts" in entry.changes else 1
        for entry in AuditEntry.objects.filter(outcome=Outcome.REFUSED)
    )


def refuse(actor: str = "viewer", *, second: float = 0) -> AuditEntry | None:
    return record_refusal(
        actor=actor,
        action="access.refused",
        sentence="tried POST /x/",
        now=NOW + timedelta(seconds=second),
    )


def test_what_is_no_entry_is_counted_and_told_at_marks():
    for _ in range(100):
        refuse()
    counted = AuditEntry.objects.filter(details__contains="attempts").order_by("number")
    assert [(one.sentence, one.reason.partition(" since")[0]) for one in counted] == [
        ("tried what they may not, 10 more times", "20 in all"),
        ("tried what they may not, 30 more times", "50 in all"),
        ("tried what they may not, 50 more times", "100 in all"),
    ]
    assert attempts_told() == 100
    assert verify().is_intact


def test_what_is_left_of_a_count_is_told_and_then_forgotten():
    for _ in range(REFUSED_OF_ONE + 1):
        refuse()
    assert attempts_told() == REFUSED_OF_ONE
    assert attempts.tell_counts(now=NOW + timedelta(seconds=30)) == 1
    assert AuditEntry.objects.latest("number").sentence == "tried what they may not, once more"
    assert attempts_told() == REFUSED_OF_ONE + 1
    attempts.tell_counts(now=NOW + timedelta(seconds=61))
    assert not RefusalCount.objects.exists()


def test_a_count_that_could_not_be_noted_is_added_to_the_next(monkeypatch: pytest.MonkeyPatch):
    """As while SQLite's writer is busy: the attempt doesn't wait, and isn't lost."""
    for _ in range(REFUSED_OF_ONE):
        refuse()
    with monkeypatch.context() as busy:

        def locked(*_: Any, **__: Any) -> None:
            raise OperationalError("database is locked")

        busy.setattr(RefusalCount.objects, "select_for_update", locked)
        for _ in range(5):
            assert refuse() is None
    refuse()
    assert RefusalCount.objects.get().waiting == 6


@pytest.mark.parametrize(
    ("total", "expected"),
    [(1, False), (10, False), (20, True), (25, False), (50, True), (100, True), (200, True), (202, False)],
)
def test_marks_are_ones_twos_and_fives(total: int, expected: bool):
    assert attempts.is_mark(total) is expected


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE audit_auditentry SET actor = 'nobody'",
        "UPDATE audit_auditentry SET reason = 'x' WHERE number = 1",
        "DELETE FROM audit_auditentry WHERE number = 2",
        "DELETE FROM audit_auditentry",
        "UPDATE audit_audithead SET number = 1",
        "UPDATE audit_audithead SET digest = 'x'",
        "DELETE FROM audit_audithead",
    ],
)
def test_the_database_refuses_to_change_the_log(sql):
    make_entry()
    make_entry()
    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(sql)
    assert AuditEntry.objects.count() == 2
    assert verify().is_intact


def test_the_orm_is_refused_too():
    entry = make_entry()
    entry.actor = "nobody"
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        entry.save()
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        AuditEntry.objects.all().delete()
