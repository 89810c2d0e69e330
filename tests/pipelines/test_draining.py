"""What a running consumer is told by signals, and by the flag it shares with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from gdsconsole.devstack import ports
from gdsconsole.env import ROOT
from gdsconsole.workers.stopping import SharedFlag

# Once it is asked to stop it is in a call of the client for a minute, as a drain without brokers may be.
DRAINS_SLOWLY = """
import sys, signal, time
from confluent_kafka import Producer
from gdsconsole.pipelines.draining import stop_signals

producer = Producer({"bootstrap.servers": sys.argv[1], "log_level": 0})
producer.produce("gds.alerts.production", b"on its way")
with stop_signals(signal.SIGTERM, signal.SIGINT) as signals:
    print("ready", flush=True)
    while not signals.asked:
        time.sleep(0.01)
    print("drains", flush=True)
    producer.flush(float(sys.argv[2]))
    print("drained", flush=True)
"""


@pytest.fixture
def draining(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """A process that was asked to stop once and has begun to."""
    nowhere = f"127.0.0.1:{ports.free(1)[0]}"
    process = subprocess.Popen(
        [sys.executable, "-c", DRAINS_SLOWLY, nowhere, str(request.param)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "drains\n"
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("draining", [0.2], indirect=True)
def test_after_one_signal_it_drains(draining: subprocess.Popen[str]) -> None:
    assert draining.wait(10) == 0
    assert draining.stdout is not None
    assert draining.stdout.read() == "drained\n"


@pytest.mark.parametrize("draining", [60], indirect=True)
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(draining: subprocess.Popen[str], second: signal.Signals) -> None:
    draining.send_signal(second)
    assert draining.wait(2) == -second


def test_the_shared_flag_is_seen_by_a_child_forked_before_it_was_set() -> None:
    flag = SharedFlag()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(read, 1)
        os._exit(0 if flag.is_set() else 1)
    flag.set()
    os.write(write, b"x")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
