"""No command lets a name, a message or an error steer the terminal, or pass for a row of a table."""

from __future__ import annotations

import ast
import io
import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone

from dlq.models import pack_headers
from gdsconsole.assembly import pipeline_catalog
from gdsconsole.audit import services as audit
from gdsconsole.cli.terminal import TerminalCommand
from gdsconsole.devstack.progress import Progress
from gdsconsole.env import ROOT
from gdsconsole.logs import LineFormatter
from gdsconsole.management.commands.status import Command as StatusCommand
from gdsconsole.management.commands.status import PartStatus, Status
from gdsconsole.management.lines import Line
from gdsconsole.management.sending import MetricLines
from gdsconsole.pipelines import services as pipelines
from lag import services as lag
from lag.group_readings import GroupsSnapshot
from tests.factories import make_dead_letter, make_group_sample, partition_sample
from tests.topics.making import Feed, MemoryProducer, make_alert, make_alert_rule, make_sample
from topics.warehouse.step import WarehouseStep

pytestmark = pytest.mark.django_db(transaction=True)

FORGED = "  9999  firing    critical  forged row"
STEERING = "\x1b[2J\x1b]52;c;b3duZWQ=\x07\x9b1A\x90q\x9d0;t\x9c\u202e\u2066\r"
HOSTILE = f"a{STEERING}\n{FORGED}\nb\x85c\u2028d\x00\x7f\xad"
# The database of the tests stores no NUL in text, as PostgreSQL doesn't.
STORED = HOSTILE.replace("\x00", "")
ALLOWED = {"\n"}


def assert_safe(written: str, *, escaped: str = "\\x1b[2J") -> None:
    assert escaped in written, "nothing hostile was written"
    raw = {one for one in written if one not in ALLOWED and (not one.isprintable())}
    assert raw == set()
    for line in written.split("\n"):
        assert not line.startswith(("  9999  firing", "forged", "b\\x85")), line


def ran(*words: str) -> str:
    """What the command wrote, on both of its streams."""
    out, err = io.StringIO(), io.StringIO()
    call_command(*words, stdout=out, stderr=err)
    return out.getvalue() + err.getvalue()


def as_json(*words: str) -> Any:
    out = io.StringIO()
    call_command(*words, "--json", stdout=out, stderr=io.StringIO())
    return json.loads(out.getvalue())


def test_alerts() -> None:
    User.objects.create_superuser("root")
    alert = make_alert(make_alert_rule(name=STORED[:100]), subject=STORED)
    assert_safe(ran("alerts", "list"))
    assert as_json("alerts", "list")[0]["subject"] == STORED
    assert_safe(ran("alerts", "ack", str(alert.pk), "--note", STORED))


def test_metrics() -> None:
    step, feed = WarehouseStep(group="gds-warehouse"), Feed(group="gds-warehouse")
    step.assigned([feed.partition])
    names = {"instance_id": STORED, "metric_name": STORED, "database_type": STORED}
    step.handle(feed.batch(make_sample(timestamp=timezone.now(), **names)))
    assert_safe(ran("metrics", "query"))
    assert as_json("metrics", "query")[0]["instance_id"] == STORED


def test_dead_letters() -> None:
    trace = f"Error: no\n\tat {HOSTILE}".encode()
    letter = make_dead_letter(
        key=HOSTILE.encode(),
        value=HOSTILE.encode(),
        error=STORED,
        error_type=STORED,
        group=STORED,
        headers=pack_headers([(HOSTILE, HOSTILE.encode()), ("trace", trace)]),
    )
    assert_safe(ran("dlq", "list"))
    shown = ran("dlq", "show", str(letter.pk))
    assert_safe(shown)
    assert f"\n{'':<17}{FORGED}\n" in shown
    assert as_json("dlq", "show", str(letter.pk))["headers"][0] == {"name": HOSTILE, "value": HOSTILE}
    assert_safe(
        ran("dlq", "discard", str(letter.pk), "--reason", STORED) + ran("dlq", "show", str(letter.pk))
    )


def test_lag(monkeypatch: pytest.MonkeyPatch) -> None:
    partitions = [partition_sample(topic=HOSTILE, reason=HOSTILE)]
    row = make_group_sample(group=STORED, reason=STORED, partitions=partitions)
    nothing = GroupsSnapshot(at=0.0, cluster_id="c", groups=(), topics={}, incomplete=None)
    monkeypatch.setattr(lag, "read_lag", lambda **_: (nothing, [row]))
    assert_safe(ran("lag"))
    assert_safe(ran("lag", "--group", STORED))
    assert as_json("lag")[0]["group"] == STORED


def test_pipelines() -> None:
    pipeline_catalog.ensure_rows()
    pipelines.halt(name="alerting", reason=STORED, now=timezone.now())
    assert_safe(ran("pipelines", "list"))


def test_audit() -> None:
    who = STORED[:100]
    with transaction.atomic():
        audit.record(actor=who, action="t.deed", sentence=STORED, target=STORED, now=timezone.now())
    # The log takes no control character in the first place.
    assert_safe(ran("audit", "list"), escaped="forged row")


def test_lines_that_are_sent() -> None:
    command, err = TerminalCommand(), io.StringIO()
    command.stderr._out = err  # type: ignore[attr-defined]
    lines = MetricLines(MemoryProducer(), "t", key_by="none", tell=command.tell)
    bad = json.dumps({"value": HOSTILE, HOSTILE: 1}, ensure_ascii=False).encode()
    lines.send([[Line(1, bad), Line(2, HOSTILE.encode())]], timeout_s=1)
    command.tell(HOSTILE)
    assert_safe(err.getvalue())


def test_status_and_up() -> None:
    out = io.StringIO()
    part = PartStatus(name="web", state="running", pid=1, detail=HOSTILE)
    status = Status(ready=False, reason=HOSTILE, url="u", parts=[part])
    status |= {"kafka_bootstrap_servers": HOSTILE, "redis_url": HOSTILE, "database_url": HOSTILE}
    StatusCommand(stdout=out)._print(status)  # type: ignore[arg-type]
    assert_safe(out.getvalue())
    said = io.StringIO()
    Progress(said).tell(f"web ended (exit code 1): {HOSTILE}")
    assert_safe(said.getvalue())


def test_an_error_of_several_lines_keeps_them_and_forges_none(capsys: pytest.CaptureFixture[str]) -> None:
    class Failing(TerminalCommand):
        def handle(self, *_: Any, **__: Any) -> None:
            raise CommandError(f"topics.json: nothing was imported\n{HOSTILE}")

    with pytest.raises(SystemExit):
        Failing().run_from_argv(["manage.py", "failing"])
    said = capsys.readouterr().err
    assert_safe(said)
    assert f"\n  {FORGED}\n" in said


def test_logs() -> None:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(LineFormatter("{levelname} {message}", style="{"))
    record = logging.LogRecord("name", logging.ERROR, "f", 1, "refused: %s", (HOSTILE,), None)
    handler.emit(record)
    assert_safe(out.getvalue())
    assert out.getvalue().count("\n") == 1
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        handler.emit(logging.LogRecord("name", logging.ERROR, "f", 1, "failed", (), sys.exc_info()))
    assert_safe(out.getvalue())
    assert "\n  Traceback (most recent call last):\n    File" in out.getvalue()


def _commands() -> list[Path]:
    found = [path for path in ROOT.glob("**/management/commands/*.py") if path.name != "__init__.py"]
    return [path for path in found if ".venv" not in path.parts and "var" not in path.parts]


def _is_for_programs(argument: ast.expr) -> bool:
    """JSON, or the brackets and commas that hold it together."""
    return "json.dumps" in ast.unparse(argument) or not any(
        isinstance(node, ast.FormattedValue | ast.Name) and ast.unparse(node) != "count"
        for node in ast.walk(argument)
    )


@pytest.mark.parametrize("path", _commands(), ids=lambda path: path.stem)
def test_every_command_writes_to_people_in_the_one_way(path: Path) -> None:
    tree = ast.parse(path.read_text())
    bases = [
        ast.unparse(base) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for base in node.bases
    ]
    assert "TerminalCommand" in bases
    assert "BaseCommand" not in bases
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for call in calls:
        to = ast.unparse(call.func)
        assert to not in {"print", "sys.stderr.write", "sys.stdout.write", "self.stderr.write"}, call.lineno
        if to == "self.stdout.write":
            assert _is_for_programs(call.args[0]), f"line {call.lineno} of {path.name}: use self.line"
