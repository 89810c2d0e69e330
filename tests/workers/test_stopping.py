"""A worker that stops by itself ends, so that whoever supervises it starts another."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gdsconsole.env import ROOT
from gdsconsole.workers import stopping

# A worker that begins to stop while its only task hangs for good.
STOPS = """
import sys, time
from celery.worker import state
from gdsconsole.workers import stopping

stopping.LONGEST_END_S = 0.1
state.should_stop = {asked}
stopping.TellTasks(None).close(None)
assert stopping.worker_is_stopping.is_set()
time.sleep(1)
sys.exit(3)
"""


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        pytest.param("None", stopping.EXIT_CODE, id="nobody asked: it waits for no task for ever"),
        pytest.param("0", 3, id="asked to, with exit code 0: whoever asked bounds it"),
    ],
)
def test_a_worker_that_nobody_asked_to_stop_ends_all_the_same(asked: str, code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STOPS.format(asked=asked)],
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr.decode()
