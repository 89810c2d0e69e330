"""Every way to change the log is found and named; what can't be known is told.

Somebody who may write the database is played with raw SQL; the key and the anchor are outside of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gdsconsole.audit import anchors, keys, services
from gdsconsole.audit.models import AuditEntry, AuditHead
from gdsconsole.audit.verification import verify
from tests.audit.making import (
    COLUMNS,
    NOW,
    ROW,
    chain_anew,
    drop_trigger,
    make_chain,
    make_entry,
    tamper,
    told,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def entries(settings: Any, tmp_path: Path) -> list[AuditEntry]:
    settings.GDS_DATA_DIR = tmp_path
    return make_chain()


# Found where the triggers were gone: what they refuse is done, and they are back.


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("UPDATE audit_auditentry SET actor = 'x' WHERE number = 3", ["3 was changed after it was written"]),
        ("UPDATE audit_auditentry SET key = '' WHERE number = 3", ["3 is not sealed with any key"]),
        ("UPDATE audit_auditentry SET digest = 'x' WHERE number = 6", [
            "6 is not the entry that was anchored at 2026-01-15 10:30:00Z",
            "6 is not the one that the chain's head names",
        ]),
        ("DELETE FROM audit_auditentry WHERE number = 3", ["4 entry 3 is missing before it"]),
        ("DELETE FROM audit_auditentry WHERE number > 4", [
            "entries 5 to 6 are cut off, the anchor of 2026-01-15 10:30:00Z knows of them"
        ]),
        ("DELETE FROM audit_audithead", ["the chain's head is missing"]),
        ("UPDATE audit_audithead SET number = 5", ["6 was added behind the chain's head",
                                                  "5 is not the one that the chain's head names"]),
        ("UPDATE audit_audithead SET number = 8", ["entries 7 to 8 are cut off"]),
    ],
)  # fmt: skip
def test_what_was_done_is_named(sql: str, expected: list[str]) -> None:
    tamper(sql)
    assert told() == expected


def test_an_end_cut_off_with_the_head_set_back_is_found_by_the_anchor(entries: list[AuditEntry]) -> None:
    tamper("DELETE FROM audit_auditentry WHERE number > 4")
    tamper("UPDATE audit_audithead SET number = 4, digest = %s", entries[3].digest)
    expected = "entries 5 to 6 are cut off, the anchor of 2026-01-15 10:30:00Z knows of them"
    assert told() == [expected]
    # What is written afterwards doesn't hide it: the anchor's history is kept.
    fifth = make_entry(sentence="went on")
    anchors.append(number=5, digest=fifth.digest, now=NOW)
    assert told()[0].startswith("5 is not the entry that was anchored at")


def test_an_emptied_log_is_found() -> None:
    tamper("DELETE FROM audit_auditentry")
    tamper("DELETE FROM audit_audithead")
    assert told() == [
        "the log was emptied: entries 1 to 6 are cut off, the anchor of 2026-01-15 10:30:00Z knows of them"
    ]
    assert services.anchor_head(now=NOW) is False
    assert verify().state == "tampered"


def test_a_log_chained_anew_without_the_key_is_found() -> None:
    chain_anew(secret="a key that somebody else made, who has none of ours")
    assert told()[0] == "1 is not the entry that was anchored at 2026-01-15 10:30:00Z"
    assert len(told()) == 6


def test_a_log_chained_anew_with_the_key_is_found_by_the_anchor() -> None:
    chain_anew(first=4)
    assert told() == [f"{n} is not the entry that was anchored at 2026-01-15 10:30:00Z" for n in (4, 5, 6)]
    assert services.anchor_head(now=NOW) is False


def test_an_entry_added_by_sql_is_not_sealed() -> None:
    tamper(f"INSERT INTO audit_auditentry ({COLUMNS}) VALUES ({ROW % 7})")  # noqa: S608
    tamper("UPDATE audit_audithead SET number = 7, digest = ''")
    assert told() == ["7 does not follow the entry before it"]
    tamper("UPDATE audit_auditentry SET previous = (SELECT digest FROM audit_auditentry WHERE number = 6)"
           " WHERE number = 7")  # fmt: skip
    assert told() == ["7 is not sealed with any key"]


# What can't be known is told, and is not called intact.


def test_without_the_key_it_is_not_known_whether_entries_were_changed(settings: Any) -> None:
    key = keys.ring().current.id
    assert verify().is_intact
    (keys.directory() / keys.FILE).unlink()
    settings.SECRET_KEY = "another secret key of at least fifty characters, no less"
    verdict = verify()
    assert (verdict.state, verdict.problems) == ("unknown", ())
    assert verdict.unknown == (
        f"whether entries 1 to 6 were changed: the key {key}, which sealed them, is not here",
        "whether 6 anchors are the console's own: their key is not here",
    )


def test_a_new_secret_key_keeps_the_old_log_readable(settings: Any) -> None:
    settings.SECRET_KEY = "another secret key of at least fifty characters, no less"
    keys.read_again()
    entry = make_entry()
    anchors.append(number=entry.number, digest=entry.digest, now=NOW)
    assert verify().is_intact
    assert AuditEntry.objects.values("key").distinct().count() == 2
    assert (keys.directory() / keys.FILE).stat().st_mode & 0o777 == 0o600


def test_keys_that_are_named_seal_and_older_ones_still_check(settings: Any) -> None:
    first, second = "the first key named, of many characters", "the second key named, of many characters"
    settings.GDS_AUDIT_KEYS = [first]
    old = make_entry()
    settings.GDS_AUDIT_KEYS = [second, first]
    new = make_entry()
    assert (old.key, new.key) == (keys.derived(first).id, keys.derived(second).id)
    assert verify().is_intact
    settings.GDS_AUDIT_KEYS = [second]
    assert verify().unknown == (
        f"whether entries 7 to 7 were changed: the key {old.key}, which sealed them, is not here",
    )
    # What is named is for other machines too, so it stays out of this one's file.
    assert keys.derived(first).secret.hex() not in (keys.directory() / keys.FILE).read_text()


def test_without_an_anchor_it_is_not_known_whether_the_end_was_cut_off() -> None:
    anchors.path_of_log().unlink()
    verdict = verify()
    assert (verdict.state, verdict.problems, verdict.anchored) == ("unknown", (), None)
    assert "there is no anchor in" in verdict.unknown[0]
    # Not even of a log that is empty.
    tamper("DELETE FROM audit_auditentry")
    tamper("DELETE FROM audit_audithead")
    assert verify().state == "unknown"


def test_an_anchor_left_behind_is_told() -> None:
    for _ in range(30):
        make_entry()
    (line,) = verify().unknown
    assert line.endswith("the newest anchor is of entry 6, 30 entries ago")
    assert services.anchor_head(now=NOW) is True
    assert verify().is_intact
    assert services.anchor_head(now=NOW) is False


def test_a_changed_anchor_is_found(entries: list[AuditEntry]) -> None:
    path = anchors.path_of_log()
    path.write_text(path.read_text().replace(entries[5].digest, "0" * 64))
    assert told() == ["the anchor of entry 6 is not the console's own: its file was changed"]


def test_a_line_that_was_cut_short_takes_no_other_with_it(entries: list[AuditEntry]) -> None:
    path = anchors.path_of_log()
    path.write_text(path.read_text()[:-20])
    anchors.append(number=6, digest=entries[5].digest, now=NOW)
    assert (verify().anchored, len(verify().unknown)) == (6, 1)
    assert "1 unreadable lines" in verify().unknown[0]


def test_an_anchor_that_grew_is_thinned_and_keeps_what_went_back(monkeypatch: Any) -> None:
    lines = [f"{n} x" for n in range(1, 51)] + [f"{n} y" for n in range(3, 40)]
    monkeypatch.setattr(anchors, "KEPT_WHOLE", 10)
    kept = anchors.thinned(lines)
    assert len(kept) < 25
    assert kept[-10:] == lines[-10:]
    assert {"50 x", "3 y"} <= set(kept)
    monkeypatch.setattr(anchors, "LARGEST_BYTES", 100)
    anchors.append(number=6, digest=AuditHead.objects.get().digest, now=NOW)
    assert verify().is_intact


def test_a_commit_is_anchored(django_capture_on_commit_callbacks: Any) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        entry = make_entry()
    newest = anchors.newest()
    assert newest is not None
    assert (newest.number, newest.digest, newest.is_ours) == (7, entry.digest, True)
    assert anchors.path_of_log().stat().st_mode & 0o777 == 0o600


def test_the_anchor_may_be_on_another_disk(entries: list[AuditEntry], settings: Any, tmp_path: Path) -> None:
    settings.GDS_AUDIT_ANCHOR_DIR = tmp_path / "elsewhere"
    assert verify().state == "unknown"
    assert anchors.append(number=6, digest=entries[5].digest, now=NOW)
    assert anchors.path_of_log().parent == tmp_path / "elsewhere"
    assert verify().is_intact


def test_a_deed_is_done_where_the_anchor_cannot_be_written(
    django_capture_on_commit_callbacks: Any, caplog: Any
) -> None:
    anchors.path_of_log().unlink()
    anchors.path_of_log().mkdir()
    with django_capture_on_commit_callbacks(execute=True):
        assert make_entry().number == 7
    assert "audit entry 7 could not be anchored" in caplog.text


def test_verify_names_all_that_it_found_and_all_that_it_could_not_know(settings: Any) -> None:
    tamper("DELETE FROM audit_auditentry WHERE number = 2")
    drop_trigger("audit_head_not_deleted")
    anchors.path_of_log().unlink()
    verdict = verify()
    assert told(verdict) == [
        "the trigger audit_head_not_deleted is missing",
        "3 entry 2 is missing before it",
    ]
    assert len(verdict.unknown) == 1
