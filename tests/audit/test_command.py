"""`manage.py audit` as scripts see it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from gdsconsole.audit.models import Outcome
from tests.audit.making import make_entry, tamper

pytestmark = pytest.mark.django_db


def audit(*words: str, capsys: Any) -> Any:
    call_command("audit", *words, "--json")
    return json.loads(capsys.readouterr().out)


def test_list(capsys: Any):
    make_entry(reason="too loud", changes={"consumers": (1, 3)})
    digest = make_entry(actor="admin", action="rule.add", sentence="added rule CPU", target="CPU").digest
    newest, oldest = audit("list", capsys=capsys)
    assert newest["digest"] == digest
    assert oldest["number"] == 1
    assert (oldest["actor"], oldest["sentence"], oldest["outcome"]) == (
        "operator",
        "paused pipeline alerting",
        "done",
    )
    assert (oldest["reason"], oldest["changes"]) == ("too loud", {"consumers": [1, 3]})
    assert oldest["at"] == "2026-01-15T10:30:00+00:00"
    assert [one["actor"] for one in audit("list", "--action", "rule", capsys=capsys)] == ["admin"]
    assert len(audit("list", "--limit", "1", capsys=capsys)) == 1
    assert audit("list", "--since", "1h", capsys=capsys) == []


def test_list_for_people(capsys: Any):
    make_entry(outcome=Outcome.FAILED, reason="disk full")
    call_command("audit", "list")
    shown = capsys.readouterr()
    assert "operator paused pipeline alerting  [failed]  (disk full)" in shown.out
    assert shown.err == "1 entries\n"


def test_verify(capsys: Any):
    entries = [make_entry() for _ in range(3)]
    verdict = audit("verify", capsys=capsys)
    assert verdict == {
        "state": "intact",
        "intact": True,
        "entries": 3,
        "number": 3,
        "digest": entries[-1].digest,
        "anchored": 0,
        "problems": [],
        "unknown": [],
    }
    assert audit("verify", "--noted", f"2:{entries[1].digest}", capsys=capsys)["intact"]


def test_verify_exits_2_and_says_where(capsys: Any):
    for _ in range(3):
        make_entry()
    tamper("UPDATE audit_auditentry SET actor = 'nobody' WHERE number = 2")
    with pytest.raises(SystemExit) as ended:
        call_command("audit", "verify", "--json")
    assert ended.value.code == 2
    verdict = json.loads(capsys.readouterr().out)
    assert verdict["problems"] == [{"number": 2, "what": "was changed after it was written"}]
    with pytest.raises(SystemExit):
        call_command("audit", "verify")
    assert (
        "entry 2 was changed after it was written\n3 entries, NOT what was written" in capsys.readouterr().out
    )


def test_verify_says_what_it_could_not_know(capsys: Any, settings: Any, tmp_path: Path):
    settings.GDS_DATA_DIR = tmp_path
    make_entry()
    with pytest.raises(SystemExit) as ended:
        call_command("audit", "verify", "--json")
    assert ended.value.code == 1
    verdict = json.loads(capsys.readouterr().out)
    assert (verdict["state"], verdict["intact"], verdict["anchored"]) == ("unknown", None, None)
    assert "there is no anchor in" in verdict["unknown"][0]
    with pytest.raises(SystemExit):
        call_command("audit", "verify")
    said = capsys.readouterr().out
    assert said.startswith("not known: whether entries were cut off at the end")
    assert "1 entries, as far as can be known what was written; newest 1:" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("list", "--since", "yesterday"), "--since 'yesterday': 'yesterday' is neither a time"),
        (("list", "--outcome", "maybe"), "--outcome 'maybe': Select a valid choice. maybe"),
        (("list", "--limit", "0"), "--limit: 0"),
        (("verify", "--noted", "12"), "--noted: '12' is not NUMBER:DIGEST"),
    ],
)
def test_wrong_usage_names_what_is_wrong(words: tuple[str, ...], said: str):
    with pytest.raises(CommandError, match=said) as raised:
        call_command("audit", *words)
    assert raised.value.returncode == 2


@pytest.mark.parametrize("words", [(), ("list",), ("verify",)])
def test_help_shows_an_example(words: tuple[str, ...], capsys: Any):
    with pytest.raises(SystemExit):
        call_command("audit", *words, "--help")
    assert "manage.py audit verify --noted" in capsys.readouterr().out
