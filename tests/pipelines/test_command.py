"""`manage.py pipelines` as scripts see it."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from django.core.management import CommandError, call_command

from gdsconsole.pipelines import leases, services
from gdsconsole.pipelines.leases import Heartbeat, Holder
from gdsconsole.pipelines.models import Pipeline, PipelineCopy
from tests.factories import by

pytestmark = pytest.mark.django_db

NAMES = "alerting, analytics, dlq-index, warehouse"


def pipelines(*words: str, capsys) -> list[dict]:
    call_command("pipelines", *words, "--json")
    return json.loads(capsys.readouterr().out)


def test_list_answers_as_the_contract_says(capsys):
    services.ensure(groups={"alerting": "gds-alerting"})
    now = datetime.now(UTC)
    lease = leases.claim(name="alerting", slot=0, holder=Holder("node-7", 4711, "elsewhere", 1.0), now=now)
    heartbeat = Heartbeat(PipelineCopy.State.RUNNING, "", ["gds.metrics.production-0"], {"rate_in": 12.5})
    leases.renew(lease=lease, heartbeat=heartbeat, now=now)
    rows = pipelines("list", capsys=capsys)
    assert [row["name"] for row in rows] == ["alerting", "analytics", "dlq-index", "warehouse"]
    assert rows[0] == {
        "name": "alerting",
        "group": "gds-alerting",
        "state": "running",
        "reason": "",
        "reading": "reads",
        "reading_reason": "reads",
        "wanted_copies": 1,
        "copies": [
            {
                "slot": 0,
                "host": "node-7",
                "pid": 4711,
                "state": "running",
                "reason": "",
                "partitions": ["gds.metrics.production-0"],
                "rate_in": 12.5,
            }
        ],
    }
    assert rows[1]["copies"][0]["rate_in"] is None


def test_list_is_readable_without_json(capsys):
    call_command("pipelines", "list")
    out = capsys.readouterr().out
    assert "alerting" in out
    assert "gds-dlq-index" in out
    assert "nobody" in out


def test_pause_resume_and_scale_answer_with_the_pipeline(capsys):
    (paused,) = pipelines("pause", "alerting", capsys=capsys)
    assert paused["state"] == "paused"
    services.halt(name="alerting", reason="all poison", now=datetime.now(UTC))
    (resumed,) = pipelines("resume", "alerting", capsys=capsys)
    assert resumed["state"] == "starting"
    (scaled,) = pipelines("scale", "alerting", "3", capsys=capsys)
    assert scaled["wanted_copies"] == 3
    assert len(scaled["copies"]) == 3
    assert Pipeline.objects.get(name="alerting").copies == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("pause", "warehause"),
            "no pipeline 'warehause'; there are: alerting, analytics, dlq-index, warehouse",
        ),
        (
            ("run", "warehause"),
            "no pipeline 'warehause'; there are: alerting, analytics, dlq-index, warehouse",
        ),
        (("scale", "alerting", "0"), "copies: 0 is not between 1 and 64"),
        (("run", "alerting", "--slot", "5"), "--slot: 5 is beyond the 1 copies of alerting"),
        (("run", "alerting", "--slot", "-1"), "--slot: -1"),
    ],
)
def test_wrong_usage_names_what_is_wrong(words, said):
    with pytest.raises(CommandError, match=said) as raised:
        call_command("pipelines", *words)
    assert raised.value.returncode == 2


def test_a_paused_pipeline_is_not_run():
    services.ensure(groups={"alerting": "gds-alerting"})
    services.pause(name="alerting", **by())
    with pytest.raises(CommandError, match="alerting is paused"):
        call_command("pipelines", "run", "alerting")
    services.resume(name="alerting", **by())
    services.halt(name="alerting", reason="all poison", now=datetime.now(UTC))
    with pytest.raises(CommandError, match="alerting is halted: all poison"):
        call_command("pipelines", "run", "alerting")


@pytest.mark.parametrize("words", [(), ("list",), ("run",), ("scale",)])
def test_help_shows_an_example(words, capsys):
    with pytest.raises(SystemExit):
        call_command("pipelines", *words, "--help")
    assert "manage.py pipelines scale alerting 3" in capsys.readouterr().out
