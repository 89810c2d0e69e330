"""Tampering by raw SQL, as the owner of the database could, is found."""

from __future__ import annotations

import pytest

from gdsconsole.audit import keys
from gdsconsole.audit.models import AuditEntry, AuditHead
from gdsconsole.audit.verification import PROBLEMS_SHOWN, Problem, broken, verify
from tests.audit.making import chain_anew, make_entry, tamper

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def entries() -> list[AuditEntry]:
    return [make_entry(sentence=f"paused pipeline p{n}") for n in range(1, 7)]


def found() -> list[tuple[int | None, str]]:
    return [(problem.number, problem.what) for problem in verify().problems]


def test_an_untouched_log_is_intact(entries):
    verdict = verify()
    assert verdict.is_intact
    assert (verdict.entries, verdict.number, verdict.digest) == (6, 6, entries[-1].digest)


def test_an_empty_log_is_intact():
    tamper("DELETE FROM audit_auditentry")
    tamper("DELETE FROM audit_audithead")
    assert verify().is_intact
    assert verify(noted=(6, "0" * 64)).problems


@pytest.mark.parametrize(
    "column",
    ["actor", "action", "sentence", "target", "target_url", "reason", "details", "outcome", "at"],
)
def test_a_changed_field_is_found(column):
    value = {"outcome": "failed", "at": "2026-01-01 00:00:00"}.get(column, "x")
    tamper(f"UPDATE audit_auditentry SET {column} = %s WHERE number = 3", value)  # noqa: S608
    assert found() == [(3, "was changed after it was written")]


def test_a_change_with_a_digest_of_its_own_breaks_the_next_link():
    entry = AuditEntry.objects.get(number=3)
    entry.actor = "nobody"
    tamper(
        "UPDATE audit_auditentry SET actor = 'nobody', digest = %s WHERE number = 3",
        entry.computed_digest(keys.ring().current.secret),
    )
    assert found() == [(4, "does not follow the entry before it")]


def test_a_changed_newest_entry_with_a_digest_of_its_own_is_not_the_heads():
    entry = AuditEntry.objects.get(number=6)
    entry.actor = "nobody"
    tamper(
        "UPDATE audit_auditentry SET actor = 'nobody', digest = %s WHERE number = 6",
        entry.computed_digest(keys.ring().current.secret),
    )
    assert found() == [(6, "is not the one that the chain's head names")]


def test_an_entry_taken_out_is_missed():
    tamper("DELETE FROM audit_auditentry WHERE number IN (2, 3)")
    assert found() == [(4, "entries 2 to 3 are missing before it")]


def test_an_end_cut_off_is_missed():
    tamper("DELETE FROM audit_auditentry WHERE number > 4")
    assert found() == [(None, "entries 5 to 6 are cut off")]


def test_an_entry_put_behind_the_head_is_found(entries):
    tamper("UPDATE audit_audithead SET number = 5, digest = %s", entries[4].digest)
    assert found() == [(6, "was added behind the chain's head")]


def test_two_swapped_sentences_are_found():
    tamper("UPDATE audit_auditentry SET sentence = 'paused pipeline p3' WHERE number = 2")
    tamper("UPDATE audit_auditentry SET sentence = 'paused pipeline p2' WHERE number = 3")
    assert [number for number, _ in found()] == [2, 3]


def test_a_log_rewritten_whole_is_found_by_a_digest_that_was_noted(entries):
    noted = (entries[3].number, entries[3].digest)
    assert verify(noted=noted).is_intact
    chain_anew()
    assert AuditHead.objects.get().digest == AuditEntry.objects.get(number=6).digest
    # Whoever has the key and may write everything can make a chain that holds in itself.
    assert verify().is_intact
    assert verify(noted=noted).problems == (
        Problem(4, f"does not have the digest that was noted, {noted[1]}"),
    )


def test_problems_are_bounded():
    for _ in range(40):
        make_entry()
    tamper("UPDATE audit_auditentry SET reason = 'x'")
    assert len(verify().problems) == PROBLEMS_SHOWN


def test_a_page_of_entries_is_checked_by_itself():
    tamper("UPDATE audit_auditentry SET actor = 'nobody' WHERE number = 3")
    tamper("UPDATE audit_auditentry SET digest = 'x' WHERE number = 5")
    shown = AuditEntry.objects.all()
    assert broken(shown) == {3, 5, 6}
    assert broken(shown.filter(number__in=[1, 2])) == set()
    assert broken(shown.filter(number=6)) == {6}
    assert broken([]) == set()
