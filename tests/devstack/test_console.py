"""A console of which something doesn't answer in time says so, and goes on."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from gdsconsole.devstack import console as consoles
from gdsconsole.devstack.console import Console, UpOptions
from gdsconsole.devstack.progress import Progress, Step
from gdsconsole.management.commands import up

MISSING = "pipelines: analytics has no consumer: 12 of 12 worker processes are taken"


async def test_what_does_not_answer_in_time_is_said_once_and_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answers = iter([[MISSING], [MISSING], [MISSING], []])
    monkeypatch.setattr(consoles, "READY_TIMEOUT_S", -1.0)
    monkeypatch.setattr(consoles, "not_ready", lambda url: next(answers))
    said, late = io.StringIO(), []
    wishes = UpOptions(tmp_path, 1, None, False, "", "", {})
    console = Console(wishes, Progress(said), on_ready=lambda: None, on_late=lambda: late.append(True))
    await console._until_ready(Step("every part answers", 0.0))
    assert said.getvalue().count(MISSING) == 1
    assert "the console stays up and goes on trying" in said.getvalue()
    assert late == [True]


@pytest.mark.parametrize(("last", "code"), [("ready http://127.0.0.1:1", 0), (up.LATE, 1)])
def test_who_waits_for_a_detached_console_is_told_how_it_came_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], last: str, code: int
) -> None:
    log = tmp_path / "up.log"
    log.write_text(f"not every part answers: {MISSING}\n{last}\n")
    detached = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        assert up.Command()._follow(detached, log, tmp_path) == code
        assert detached.poll() is None, "it is left running"
    finally:
        detached.kill()
        detached.wait()
    assert MISSING in capsys.readouterr().err
