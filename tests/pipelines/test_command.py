"""`manage.py pipelines` as scripts see it."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from django.core.management import CommandError, call_command

from gdsconsole.audit.models import AuditEntry
from gdsconsole.database.leases import Holder
from gdsconsole.kafka.cluster.groups import LogRange
from gdsconsole.kafka.consuming.halts import PartitionHalt as Halt
from gdsconsole.kafka.partitions import TopicIdPartition
from gdsconsole.pipelines import leases, services
from gdsconsole.pipelines.halts import skipping
from gdsconsole.pipelines.halts.store import StoredHalts
from gdsconsole.pipelines.leases import Heartbeat
from gdsconsole.pipelines.models import PartitionHalt, Pipeline, PipelineConsumer
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
    heartbeat = Heartbeat(PipelineConsumer.State.RUNNING, "", ["gds.metrics.production-0"], {"rate_in": 12.5})
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
        "wanted_consumers": 1,
        "halted": [],
        "consumers": [
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
    assert rows[1]["consumers"][0]["rate_in"] is None


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
    assert scaled["wanted_consumers"] == 3
    assert len(scaled["consumers"]) == 3
    assert Pipeline.objects.get(name="alerting").consumers == 3


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
        (("scale", "alerting", "0"), "consumers: 0 is not between 1 and 64"),
        (("run", "alerting", "--slot", "5"), "--slot: 5 is beyond the 1 consumers of alerting"),
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


# The ways out of a halt. Kafka is a fake log here; tests/integration/test_halts_on_kafka.py has a real one.

TOPIC = "gds.metrics.production"


@pytest.fixture
def stands(monkeypatch) -> None:
    """Partitions 3 and 4 of alerting stand at 510; their logs hold 0 to 600 and 550 to 600."""
    services.ensure(groups={"alerting": "gds-alerting"})
    for number in (3, 4):
        part = TopicIdPartition(TOPIC, number, "topic-1", "cluster-1")
        StoredHalts("gds-alerting").save(Halt(part, 510, "500 dead letters in a row", 1_768_473_000.0))
    ranges = {(TOPIC, 3): LogRange(0, 600, 600), (TOPIC, 4): LogRange(550, 600, 600)}
    monkeypatch.setattr(skipping, "read_log_ranges", lambda *_, **__: ranges)


def test_halts_are_listed(stands, capsys):
    found = pipelines("halts", capsys=capsys)
    assert found[0] == {
        "name": "alerting",
        "topic": TOPIC,
        "partition": 3,
        "offset": 510,
        "reason": "500 dead letters in a row",
        "since": "2026-01-15T10:30:00+00:00",
        "decision": "",
        "skip_to": None,
        "decided_by": "",
    }
    row = pipelines("list", capsys=capsys)[0]
    assert row["state"] == "halted"
    assert [halt["partition"] for halt in row["halted"]] == [3, 4]
    call_command("pipelines", "halts", "alerting")
    assert f"{TOPIC}-4 at offset 510: 500 dead letters in a row" in capsys.readouterr().out


def test_without_a_halt_none_is_listed(capsys):
    call_command("pipelines", "halts")
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "no partition is halted\n")


def test_a_skip_is_shown_first_and_done_with_apply(stands, capsys):
    skip = ("skip", "alerting", "--to", "latest")
    shown = pipelines(*skip, capsys=capsys)
    assert (shown["applied"], shown["skipped"]) == (False, 140)
    numbers = [(one["to"], one["skipped"], one["gone"]) for one in shown["partitions"]]
    assert numbers == [(600, 90, 0), (600, 50, 40)]
    assert not PartitionHalt.objects.exclude(decision="").exists()
    call_command("pipelines", *skip)
    assert "140 records are never processed by alerting" in capsys.readouterr().out
    for _ in range(2):
        done = pipelines(*skip, "--partition", "3", "--reason", "bad deploy", "--apply", capsys=capsys)
        assert (done["applied"], done["skipped"]) == (True, 90)
    row = PartitionHalt.objects.exclude(decision="").get()
    assert (row.partition, row.decision, row.skip_to) == (3, "skip", 600)
    assert AuditEntry.objects.get(action="pipeline.skip").reason == "bad deploy"


def test_what_follows_is_dead_lettered_with_apply(stands, capsys):
    shown = pipelines("dead-letter", "alerting", capsys=capsys)
    assert [one["waiting"] for one in shown["partitions"]] == [90, 50]
    assert not PartitionHalt.objects.exclude(decision="").exists()
    pipelines("dead-letter", "alerting", "--partition", f"{TOPIC}-4", "--apply", capsys=capsys)
    assert PartitionHalt.objects.get(decision="dead-letter").partition == 4


def test_one_partition_is_resumed(stands, capsys):
    pipelines("resume", "alerting", "--partition", "4", capsys=capsys)
    assert PartitionHalt.objects.get(decision="resume").partition == 4
    assert pipelines("list", capsys=capsys)[0]["state"] == "halted"
    pipelines("resume", "alerting", capsys=capsys)
    assert pipelines("list", capsys=capsys)[0]["state"] != "halted"


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (["skip", "alerting", "--to", "offset:601"], 2, "offset 601 is not between 510"),
        (["skip", "alerting", "--to", "soon"], 2, "'soon' is none of offset:N, time:T and latest"),
        (["resume", "alerting", "--partition", "7"], 1, "partition 7 of alerting is not halted"),
        (["dead-letter", "warehouse"], 1, "no partition of warehouse is halted"),
        (["halts", "warehause"], 2, "there is no pipeline 'warehause'"),
    ],
)
def test_what_is_no_way_out_says_why(stands, words, code, why):
    with pytest.raises(CommandError, match=why) as raised:
        call_command("pipelines", *words)
    assert raised.value.returncode == code
