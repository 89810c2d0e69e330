"""`manage.py up`, `status` and `down`, as a user meets them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from gdsconsole import access
from gdsconsole.devstack import environment, ports, run_state
from gdsconsole.env import ROOT
from tests.running_console import RunningConsole
from tests.waiting import wait_until

pytestmark = pytest.mark.console

USERS = "from django.contrib.auth.models import User"
PARTS = {"redis", "kafka-1", "kafka-2", "kafka-3", "web", "worker-pipelines", "worker", "beat"}


def test_says_that_it_is_ready_and_who_may_log_in(console: RunningConsole) -> None:
    assert console.started is not None
    lines = console.started.stdout.splitlines()
    assert lines[0] == f"ready {console.url}"
    assert {tuple(line.split()) for line in lines[1:]} == set(console.users.items())
    assert set(console.users) == set(access.ROLES)
    assert "3 Kafka brokers answer" in console.started.stderr


def test_status_names_every_part(console: RunningConsole) -> None:
    status = console.status()
    assert status["ready"] is True
    assert status["url"] == console.url
    assert len(status["kafka_bootstrap_servers"].split(",")) == 3
    assert status["users"] == console.users
    assert {part["name"] for part in status["parts"]} == PARTS
    assert all(part["state"] == "running" and psutil.pid_exists(part["pid"]) for part in status["parts"])
    assert "users" not in json.loads(console.manage("status", "--json").stdout)


def test_nothing_listens_beyond_loopback(console: RunningConsole) -> None:
    addresses = {
        connection.laddr[0]
        for process in run_state.marked(str(console.data_dir))
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert addresses <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}
    assert addresses


def test_secrets_are_for_their_owner_alone(console: RunningConsole) -> None:
    assert console.data_dir.stat().st_mode & 0o077 == 0
    files = {path for path in console.data_dir.rglob("*") if path.is_file() and not path.is_symlink()}
    # A file may be gone by the time that it is looked at.
    modes = {path: path.stat().st_mode for path in files if path.exists()}
    assert [path for path, mode in modes.items() if mode & 0o077 and "static" not in path.parts] == []
    names = {path.name for path in modes}
    assert {"console.env", "users.json", "layout.json", "web.log", "redis.conf", "keys"} <= names
    assert {"console.sqlite3", "console.sqlite3-wal", "console.sqlite3-shm"} <= names


def test_redis_wants_its_password_and_nobody_prints_it(console: RunningConsole) -> None:
    layout = environment.read_layout(console.data_dir)
    assert layout is not None
    password = layout.redis_password
    assert len(password) > 30
    with redis.Redis.from_url(layout.redis_url) as client:
        assert client.ping()
    for wrong in ({}, {"password": "guessed"}):
        with (
            redis.Redis(port=layout.redis_port, **wrong) as client,
            pytest.raises(redis.AuthenticationError),
        ):
            client.ping()
    status = console.status()
    assert status["redis_url"] == f"redis://:***@127.0.0.1:{layout.redis_port}/0"
    said = [console.manage("status").stdout, json.dumps(status), console.started.stderr]  # type: ignore[union-attr]
    logs = [path.read_text(errors="replace") for path in (console.data_dir / "logs").iterdir()]
    commands = [" ".join(process.cmdline()) for process in run_state.marked(str(console.data_dir))]
    assert [text for text in (*said, *logs, *commands) if password in text] == []


def test_a_second_up_says_that_it_runs(console: RunningConsole) -> None:
    again = console.manage("up", "--port", str(console.port))
    assert again.stdout.splitlines() == [f"ready {console.url}"]
    assert "already running" in again.stderr


def test_readyz_names_the_parts(console: RunningConsole) -> None:
    with urllib.request.urlopen(f"{console.url}/readyz", timeout=10) as reply:
        told = json.load(reply)
    assert told["ok"] is True
    assert {part["name"] for part in told["parts"]} == {"database", "redis", "kafka", "workers", "pipelines"}


def test_a_killed_part_is_started_again(console: RunningConsole) -> None:
    first = console.pid_of("web")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: console.state_of("web").pid not in {None, first}, 30, "the web has another process")
    wait_until(lambda: console.status()["ready"], 60, "all is ready again", every_s=0.5)
    assert console.state_of("web").restarts >= 1


def test_a_killed_broker_is_told_of_and_comes_back(console: RunningConsole) -> None:
    os.kill(console.pid_of("kafka-2"), signal.SIGKILL)
    wait_until(lambda: console.state_of("kafka-2").state == "restarting", 5, "the loss is noticed")
    told = console.status()
    assert not told["ready"]
    # Where the command takes longer than the backoff, the broker is on its way already.
    assert "kafka-2 is restarting" in told["reason"] or "kafka-2 is starting" in told["reason"]
    wait_until(lambda: console.status()["ready"], 90, "all is ready again", every_s=0.5)


def test_one_pipeline_that_wants_every_process_keeps_no_other_from_running(console: RunningConsole) -> None:
    said = console.manage("pipelines", "scale", "alerting", "12")
    short = "9 of 12 consumers can run: 12 of 12 worker processes are taken"
    assert said.stderr == f"alerting: {short}; the others wait for one\n"
    try:
        console.down()
        console.up()
        rows = wait_until(lambda: all_taken(console), 60, "every process is taken", every_s=0.5)
    finally:
        console.manage("pipelines", "scale", "alerting", "1")
    assert {
        row["name"]: sum(consumer["pid"] is not None for consumer in row["consumers"]) for row in rows
    } == {
        "alerting": 9,
        "analytics": 1,
        "dlq-index": 1,
        "warehouse": 1,
    }
    wait_until(lambda: console.status()["ready"], 60, "all is ready again", every_s=0.5)


def all_taken(console: RunningConsole) -> list[dict[str, Any]] | None:
    rows: list[dict[str, Any]] = console.json("pipelines", "list")
    reasons = {row["name"]: row["reason"] for row in rows}
    taken = reasons["alerting"] == "9 of 12 consumers run: 12 of 12 worker processes are taken"
    return rows if taken and all(row["state"] == "running" for row in rows) else None


def test_a_worker_that_hangs_is_told_of_in_seconds(console: RunningConsole) -> None:
    worker = console.pid_of("worker-pipelines")
    os.kill(worker, signal.SIGSTOP)
    try:
        wait_until(lambda: console.state_of("worker-pipelines").state == "silent", 20, "its part says so")
        told = console.status()
    finally:
        os.kill(worker, signal.SIGCONT)
    assert "worker-pipelines is silent" in told["reason"]
    assert "workers: no worker takes tasks from pipelines" in told["reason"]
    wait_until(lambda: console.status()["ready"], 30, "all is ready again", every_s=0.5)
    assert console.pid_of("worker-pipelines") == worker


@pytest.fixture
def other(tmp_path: Path) -> Iterator[RunningConsole]:
    """A console of a test's own, of one broker, not yet started."""
    made = RunningConsole(tmp_path / "var", ports.free(1)[0])
    yield made
    # The supervisor first: it would start again what is ended before it.
    made.manage("down", check=False)
    assert run_state.leftovers(made.data_dir) == []


def test_what_a_killed_supervisor_left_is_ended_and_its_data_kept(other: RunningConsole) -> None:
    other.up(brokers=1)
    users = other.users
    other.manage("shell", "-c", f"{USERS}; User.objects.create(username='kept')")
    state = run_state.read(other.data_dir)
    assert state is not None
    os.kill(state.pid, signal.SIGKILL)
    wait_until(lambda: not run_state.is_running(other.data_dir), 5, "the lock is free")
    assert "was killed" in other.status()["reason"]
    assert run_state.leftovers(other.data_dir)
    again = other.up()
    assert "that an earlier console left behind" in again.stderr
    assert "Kafka's data: kept" in again.stderr
    assert other.users == users
    assert (
        "kept" in other.manage("shell", "-c", f"{USERS}; print(*User.objects.values_list('username'))").stdout
    )
    other.down()
    assert not other.status()["ready"]


def test_ctrl_c_in_the_foreground_stops_in_order(other: RunningConsole) -> None:
    command = [sys.executable, str(ROOT / "manage.py"), "up", "--no-traffic", "--port", str(other.port)]
    process = subprocess.Popen(
        [*command, "--brokers", "1"],
        env=other.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == f"ready {other.url}\n"
        # Read before it is asked to stop: what this reader holds already, `communicate` would not return.
        users = [process.stdout.readline().split() for _ in access.ROLES]
        process.send_signal(signal.SIGINT)
        printed, said = process.communicate(timeout=90)
    finally:
        process.kill()
    assert process.returncode == 0
    assert dict(users) == other.users
    assert printed == ""
    order = [line.split()[0] for line in said.splitlines() if " stopped in " in line]
    assert order.index("beat") < order.index("web") < order.index("kafka-1") < order.index("redis")
    assert ", killed" not in said
    assert run_state.leftovers(other.data_dir) == []


def test_stopping_in_the_middle_of_a_start_leaves_nothing(other: RunningConsole) -> None:
    command = [sys.executable, str(ROOT / "manage.py"), "up", "--no-traffic", "--port", str(other.port)]
    process = subprocess.Popen(command, env=other.environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "Redis answers" in line:
            break
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert run_state.leftovers(other.data_dir) == []


def fails_to_start(console: RunningConsole, *words: str, **environ: str) -> str:
    began = time.monotonic()
    done = console.manage("up", "--no-traffic", *words, check=False, environ=environ)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert time.monotonic() - began < 60
    assert run_state.leftovers(console.data_dir) == []
    return done.stderr.splitlines()[-1]


def test_a_taken_port_is_one_line(other: RunningConsole) -> None:
    with socket.create_server(("127.0.0.1", other.port)):
        said = fails_to_start(other, "--port", str(other.port))
    assert said == (
        f"up: port {other.port}, needed for the web server, is taken by "
        f"{psutil.Process().name()} (pid {os.getpid()}): stop it, or choose another: --port P"
    )


def test_an_unreachable_repository_is_one_line(other: RunningConsole, tmp_path: Path) -> None:
    said = fails_to_start(
        other,
        *("--port", str(other.port)),
        KAFKA_MAVEN_REPOSITORY="http://127.0.0.1:9/maven2",
        GDS_CACHE_DIR=str(tmp_path / "cache"),
    )
    assert said.startswith("up: cannot fetch ")
    assert "from http://127.0.0.1:9/maven2: " in said


def test_a_data_directory_that_cannot_be_written_to_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = fails_to_start(RunningConsole(tmp_path / "file" / "var", 1))
    assert said.startswith(f"manage.py: the data directory {tmp_path / 'file' / 'var'} can't be written to")


def test_status_and_down_without_a_console(tmp_path: Path) -> None:
    nothing = RunningConsole(tmp_path / "var", 1)
    told = nothing.status()
    assert not told["ready"]
    assert told["parts"] == []
    assert nothing.manage("down").stderr == "nothing runs\n"
    assert not nothing.data_dir.exists()
