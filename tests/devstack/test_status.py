"""`status` tells what is, and of what can't be known that it is not known."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from gdsconsole.devstack import run_state
from gdsconsole.devstack.run_state import PartState, RunState
from gdsconsole.management.commands import status


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Of a console that runs: somebody holds its lock."""
    monkeypatch.setattr(status.console, "not_ready", lambda url, *, timeout_s: [])
    lock = run_state.take_lock(tmp_path)
    assert lock is not None
    yield tmp_path
    lock.close()


def written(data_dir: Path, *, ago_s: float) -> None:
    here = psutil.Process()
    parts = (
        PartState("web", "running", here.pid, here.create_time(), ""),
        PartState("beat", "running", here.pid, here.create_time() - 500, ""),
    )
    state = RunState("ready", 1, 0.0, "http://127.0.0.1:1", parts=parts, written_at=time.time() - ago_s)
    run_state.write(data_dir, state)


def test_what_was_just_written_is_true(data_dir: Path) -> None:
    written(data_dir, ago_s=3)
    told = status.read_status(data_dir, secrets=False)
    assert told["ready"]
    assert [part["state"] for part in told["parts"]] == ["running", "running"]
    age_s = told["state_age_s"]
    assert age_s is not None
    assert 3 <= age_s < 13


def test_what_was_written_long_ago_is_not(data_dir: Path) -> None:
    written(data_dir, ago_s=65)
    told = status.read_status(data_dir, secrets=False)
    assert not told["ready"]
    assert "what it last wrote of its parts is of 1 m 5 s ago" in told["reason"]
    assert [(part["name"], part["state"]) for part in told["parts"]] == [("web", "unknown"), ("beat", "gone")]
    assert "its process lives" in told["parts"][0]["detail"]


def test_a_state_that_can_not_be_read_is_no_console_that_does_not_run(data_dir: Path) -> None:
    (run_state.directory(data_dir) / "state.json").write_text("")
    told = status.read_status(data_dir, secrets=False)
    assert not told["ready"]
    assert told["reason"].startswith("a console runs, and what it wrote of itself")
