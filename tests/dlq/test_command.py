from __future__ import annotations

import io
import json
import subprocess
import sys
from datetime import datetime
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

from dlq.management.commands import dlq as command
from dlq.models import DeadLetter, DeadLetterEvent, ReplayRun
from dlq.replayer import replay_waiting
from tests.dlq.conftest import ReplaySpace
from tests.factories import make_dead_letter

FIELDS = {
    "id",
    "state",
    "cause",
    "topic",
    "partition",
    "offset",
    "key",
    "error_type",
    "error",
    "attempts",
    "replay_count",
}


def run(*arguments: Any) -> str:
    out = io.StringIO()
    call_command("dlq", *map(str, arguments), stdout=out)
    return out.getvalue()


def refused(*arguments: Any) -> CommandError:
    with pytest.raises(CommandError) as caught:
        run(*arguments)
    return caught.value


@pytest.fixture
def no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "enqueue_replay", lambda: True)
    monkeypatch.setattr(command, "PICKUP_S", 0.2)


@pytest.mark.django_db
class TestList:
    def test_json_has_the_fields_that_users_script_against(self) -> None:
        letter = make_dead_letter(partition=3, offset=812)
        row = json.loads(run("list", "--json"))[0]
        assert row.keys() == FIELDS
        assert row == {
            "id": letter.pk,
            "state": "pending",
            "cause": letter.cause,
            "topic": "gds.metrics.production",
            "partition": 3,
            "offset": 812,
            "key": "postgresql:prod-db-01",
            "error_type": "InvalidMessage",
            "error": "value: expected a finite number, got text",
            "attempts": 1,
            "replay_count": 0,
        }

    def test_keys_that_are_no_text_and_unknown_origins(self) -> None:
        make_dead_letter(key=b"\xff\x00", topic=None, partition=None, offset=None)
        make_dead_letter(key=None)
        newest, older = json.loads(run("list", "--json"))
        assert newest["key"] is None
        assert older["key"] == "base64:/wA="
        assert (older["topic"], older["partition"], older["offset"]) == (None, None, None)

    def test_nothing_is_an_empty_list(self) -> None:
        assert json.loads(run("list", "--json")) == []

    @pytest.mark.parametrize(
        ("pair", "found"),
        [
            ("state=failed", 1),
            ("state=open", 3),
            ("topic=gds.logs.production", 1),
            ("error_type=KeyError", 1),
            ("group=gds-warehouse", 1),
            ("since=2026-01-16T00:00:00Z", 1),
            ("until=2026-01-16T00:00:00Z", 3),
            ("q=a finite", 3),
        ],
    )
    def test_filters(self, pair: str, found: int) -> None:
        make_dead_letter()
        make_dead_letter(state="failed", topic="gds.logs.production")
        make_dead_letter(error_type="KeyError", error="'tags'", group="gds-warehouse")
        make_dead_letter(state="discarded", last_failed_at=_at("2026-01-17"))
        assert len(json.loads(run("list", "--json", "--filter", pair))) == found

    @pytest.mark.parametrize(
        ("pair", "named"),
        [
            ("state", "state"),
            ("colour=red", "colour=red"),
            ("state=green", "state 'green': Select a valid choice. green"),
            ("since=yesterday", "'yesterday' is neither a time"),
        ],
    )
    def test_a_wrong_filter_is_wrong_usage_and_is_named(self, pair: str, named: str) -> None:
        error = refused("list", "--filter", pair)
        assert named in str(error)
        assert error.returncode == 2

    def test_a_table_for_people_steers_no_terminal(self) -> None:
        make_dead_letter(error="\x1b[2J\x1b]0;owned\x07 gone", key=b"\x1b[31m")
        text = run("list")
        assert "\x1b" not in text
        assert "\x07" not in text

    def test_a_limit_cuts_and_says_so(self, capsys: pytest.CaptureFixture[str]) -> None:
        for _ in range(3):
            make_dead_letter()
        assert len(run("list", "--limit", 2).splitlines()) == 2
        assert "1 more" in capsys.readouterr().err
        assert refused("list", "--limit", 0).returncode == 2


@pytest.mark.django_db
class TestShow:
    def test_the_whole_letter(self) -> None:
        letter = make_dead_letter(headers=[["trace", "/w=="], ["note", None]])
        call_command("dlq", "discard", str(letter.pk), "--reason", "test traffic", stdout=io.StringIO())
        shown = json.loads(run("show", letter.pk, "--json"))
        assert shown.keys() > FIELDS
        assert shown["value"] == '{"instance_id":"prod-db-01","value":"high"}'
        assert shown["headers"] == [
            {"name": "trace", "value": "base64:/w=="},
            {"name": "note", "value": None},
        ]
        assert [(event["action"], event["reason"]) for event in shown["history"]] == [
            ("discarded", "test traffic")
        ]
        assert "test traffic" in run("show", letter.pk)

    def test_one_that_is_not_there(self) -> None:
        assert "no dead letter 404" in str(refused("show", 404))


@pytest.mark.django_db
class TestDiscard:
    def test_each_outcome_is_told(self) -> None:
        letter, gone = make_dead_letter(), make_dead_letter(state="discarded")
        out = io.StringIO()
        with pytest.raises(CommandError, match="1 were not discarded"):
            call_command("dlq", "discard", letter.pk, gone.pk, "--reason", "noise", "--json", stdout=out)
        outcomes = {outcome["id"]: outcome["outcome"] for outcome in json.loads(out.getvalue())}
        assert outcomes == {letter.pk: "discarded", gone.pk: "rejected"}
        event = DeadLetterEvent.objects.get(dead_letter=letter)
        assert event.reason == "noise"
        assert event.actor.startswith("cli:")

    def test_a_reason_and_a_selection_are_needed(self) -> None:
        letter = make_dead_letter()
        assert refused("discard", letter.pk, "--reason", " ").returncode == 2
        assert refused("discard", "--reason", "why").returncode == 2
        with pytest.raises(CommandError, match="--reason"):
            run("discard", letter.pk)


@pytest.mark.django_db(transaction=True)
class TestReplay:
    @pytest.mark.kafka
    def test_it_waits_and_tells_each_outcome(
        self, space: ReplaySpace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        letters = [make_dead_letter(topic=space.target, partition=n) for n in range(2)]
        monkeypatch.setattr(command, "enqueue_replay", lambda: not replay_waiting(space.client))
        outcomes = json.loads(run("replay", *[letter.pk for letter in letters], "--json"))
        assert [(one["id"], one["outcome"], one["topic"], one["partition"]) for one in outcomes] == [
            (letter.pk, "replayed", space.target, number) for number, letter in enumerate(letters)
        ]
        offsets = {(record.partition(), record.offset()) for record in space.read()}
        assert {(one["partition"], one["offset"]) for one in outcomes} == offsets

    @pytest.mark.kafka
    def test_a_filter_chooses_what_waits(self, space: ReplaySpace, monkeypatch: pytest.MonkeyPatch) -> None:
        mine = make_dead_letter(topic=space.target, partition=0)
        make_dead_letter(topic=space.target, state="discarded")
        make_dead_letter(topic="gds.other.production")
        monkeypatch.setattr(command, "enqueue_replay", lambda: not replay_waiting(space.client))
        outcomes = json.loads(run("replay", "--filter", f"topic={space.target}", "--json"))
        assert [one["id"] for one in outcomes] == [mine.pk]

    @pytest.mark.kafka
    def test_what_was_not_replayed_is_a_failure(
        self, space: ReplaySpace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fine, lost = make_dead_letter(topic=space.target), make_dead_letter(topic="gds.gone.production")
        monkeypatch.setattr(command, "enqueue_replay", lambda: not replay_waiting(space.client))
        out = io.StringIO()
        with pytest.raises(CommandError, match="1 of 2 were not replayed"):
            call_command("dlq", "replay", fine.pk, lost.pk, stdout=out)
        assert "does not exist on the cluster" in out.getvalue()

    def test_without_a_worker_it_says_so_and_loses_nothing(self, no_worker: None) -> None:
        letter = make_dead_letter()
        out = io.StringIO()
        with pytest.raises(CommandError, match=r"no worker took it up in 0 s\. Nothing is lost"):
            call_command("dlq", "replay", letter.pk, "--json", stdout=out)
        assert json.loads(out.getvalue())[0]["outcome"] == "queued"
        assert ReplayRun.objects.get().state == "queued"

    def test_a_second_request_changes_nothing(self, no_worker: None) -> None:
        letter = make_dead_letter()
        refused("replay", letter.pk)
        again = refused("replay", letter.pk)
        assert "is already being replayed" in str(again)
        assert again.returncode == 1
        assert ReplayRun.objects.count() == 1

    def test_over_the_limit(self, no_worker: None) -> None:
        letter = make_dead_letter(replay_count=3)
        assert "needs the override" in str(refused("replay", letter.pk))
        assert refused("replay", letter.pk, "--over-limit").returncode == 2
        refused("replay", letter.pk, "--over-limit", "--reason", "fixed")
        assert DeadLetter.objects.get().state == "replaying"

    def test_wrong_usage(self, no_worker: None) -> None:
        assert refused("replay").returncode == 2
        assert refused("replay", 1, "--timeout", 0).returncode == 2
        assert "does not exist" in str(refused("replay", 404))
        assert "no dead letter matches" in str(refused("replay", "--filter", "state=failed"))


def test_every_action_shows_an_example() -> None:
    for action in ([], ["list"], ["show"], ["replay"], ["discard"]):
        shown = subprocess.run(
            [sys.executable, "manage.py", "dlq", *action, "--help"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "manage.py dlq replay 17" in shown.stdout


def test_a_database_that_is_down_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_: Any) -> None:
        raise OperationalError("disk I/O error")

    monkeypatch.setattr(command, "_matching", down)
    assert str(refused("list")).endswith(" is down: disk I/O error")


def _at(day: str) -> Any:
    return datetime.fromisoformat(f"{day}T00:00:00+00:00")
