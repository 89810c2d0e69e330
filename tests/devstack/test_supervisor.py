"""Parts are started in order, started again when they end, and never outlive the supervisor."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from gdsconsole.devstack import parts, ports, processes, run_state
from gdsconsole.devstack.errors import CannotStart
from gdsconsole.devstack.run_state import PartState, RunState
from gdsconsole.devstack.supervisor import PartSpec, Supervisor, backoff_s
from tests.waiting import wait_until

SLEEP = "import time; time.sleep(600)"
# A parent with a child in a session of its own, as a badly behaved daemon has; both ignore SIGTERM.
STUBBORN = textwrap.dedent("""
    import os, signal, subprocess, sys, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    open(sys.argv[1], "w").write(str(child.pid))
    time.sleep(600)
""")


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", code, *arguments]


class Told(list[str]):
    def has(self, words: str) -> bool:
        return any(words in line for line in self)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def supervisor(tmp_path: Path, told: Told) -> AsyncIterator[Supervisor]:
    made = Supervisor(tmp_path, dict(os.environ), told.append)
    yield made
    await made.stop()
    assert list(run_state.marked(str(tmp_path))) == []


async def until(condition: object, what: str, timeout_s: float = 15.0) -> None:
    assert callable(condition)
    await asyncio.to_thread(wait_until, condition, timeout_s, what)


def pid_of(supervisor: Supervisor, name: str) -> int:
    process = supervisor.parts[name].process
    assert process is not None
    return process.pid


async def test_a_part_is_started_when_it_answers(supervisor: Supervisor, tmp_path: Path) -> None:
    mark = tmp_path / "up"
    code = "import pathlib, sys, time; time.sleep(0.3); pathlib.Path(sys.argv[1]).touch(); time.sleep(600)"
    await supervisor.start(PartSpec("slow", python(code, str(mark)), 1, answers=mark.exists))
    assert mark.exists()
    assert supervisor.parts["slow"].state == "running"


async def test_one_that_ends_at_its_start_says_why(supervisor: Supervisor) -> None:
    spec = PartSpec("bad", python("import sys; sys.exit('no such file: x.conf')"), 1, answers=lambda: False)
    with pytest.raises(CannotStart, match=r"bad ended at its start \(exit code 1\): no such file: x\.conf"):
        await supervisor.start(spec)


async def test_one_that_never_answers_is_given_up(supervisor: Supervisor) -> None:
    spec = PartSpec("mute", python(SLEEP), 1, answers=lambda: False, start_timeout_s=0.2)
    with pytest.raises(CannotStart, match="mute gave no answer within 0 s"):
        await supervisor.start(spec)


async def test_a_killed_part_is_started_again_and_it_is_said(supervisor: Supervisor, told: Told) -> None:
    await supervisor.start(PartSpec("victim", python(SLEEP), 1, first_backoff_s=0.05))
    first = pid_of(supervisor, "victim")
    os.kill(first, signal.SIGKILL)
    await until(lambda: told.has("victim runs again"), "the part runs again")
    assert pid_of(supervisor, "victim") != first
    assert told.has("victim ended (killed by signal 9), starting it again in 0.05 s")
    assert supervisor.states()[0].restarts == 1


async def test_one_that_runs_and_does_nothing_is_said_and_then_started_anew(
    supervisor: Supervisor, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gdsconsole.devstack.supervisor.LOOK_EVERY_S", 0.05)
    works: dict[int, bool | None] = {}
    spec = PartSpec(
        "worker",
        python(SLEEP),
        1,
        first_backoff_s=0.05,
        alive=lambda pid: works.get(pid, True),
        longest_silence_s=0.3,
    )
    await supervisor.start(spec)
    first, part = pid_of(supervisor, "worker"), supervisor.parts["worker"]
    works[first] = None
    await asyncio.sleep(0.5)
    assert part.state == "running", "nobody can tell, so nobody is blamed"
    works[first] = False
    await until(lambda: part.state == "silent", "its silence is said")
    works[first] = True
    await until(lambda: part.state == "running", "so is that it works again")
    works[first] = False
    await until(lambda: told.has("worker runs again"), "another runs")
    assert told.has("worker has done nothing for 0 s: ending it")
    assert pid_of(supervisor, "worker") != first


async def test_redis_is_started_again_though_its_directory_is_gone(
    supervisor: Supervisor, tmp_path: Path, told: Told
) -> None:
    directory = tmp_path / "kept" / "redis"
    await supervisor.start(parts.redis(port=ports.free(1)[0], directory=directory, password="a-password"))
    shutil.rmtree(directory.parent)
    os.kill(pid_of(supervisor, "redis"), signal.SIGKILL)
    await until(lambda: told.has("redis runs again"), "Redis answers again")
    assert directory.is_dir()


async def test_one_that_keeps_ending_is_started_ever_more_slowly(supervisor: Supervisor, told: Told) -> None:
    await supervisor.start(PartSpec("flapping", python("raise SystemExit(3)"), 1, first_backoff_s=0.01))
    await until(lambda: told.has("again in 0.08 s"), "the fourth try is announced")
    delays = [line.partition("again in ")[2].partition(" s")[0] for line in told if "again in" in line]
    assert delays[:4] == ["0.01", "0.02", "0.04", "0.08"]


def test_the_backoff_is_bounded() -> None:
    assert [backoff_s(0.5, n) for n in (0, 1, 2, 6, 1000)] == [0.5, 1.0, 2.0, 30.0, 30.0]


async def test_stops_in_order_of_stages(supervisor: Supervisor, told: Told) -> None:
    for name, stage in (("redis", 1), ("kafka", 2), ("web", 3)):
        await supervisor.start(PartSpec(name, python(SLEEP), stage))
    await supervisor.stop()
    assert [line.split()[0] for line in told] == ["web", "kafka", "redis"]


async def test_a_stubborn_part_is_killed_with_its_children(
    supervisor: Supervisor, tmp_path: Path, told: Told
) -> None:
    noted = tmp_path / "child"
    spec = PartSpec("stubborn", python(STUBBORN, str(noted)), 1, answers=noted.exists, grace_s=0.3)
    await supervisor.start(spec)
    await until(noted.read_text, "the child is noted")
    child = psutil.Process(int(noted.read_text()))
    await supervisor.stop()
    assert processes.wait_for_exit(child, 5)
    assert told.has("stubborn stopped in 0.")
    assert told.has(", killed")


async def test_a_frozen_part_is_stopped(supervisor: Supervisor) -> None:
    await supervisor.start(PartSpec("frozen", python(SLEEP), 1, grace_s=5))
    os.kill(pid_of(supervisor, "frozen"), signal.SIGSTOP)
    await asyncio.wait_for(supervisor.stop(), 4)


async def test_children_of_a_killed_part_do_not_live_on(supervisor: Supervisor, tmp_path: Path) -> None:
    noted = tmp_path / "child"
    spec = PartSpec("parent", python(STUBBORN, str(noted)), 1, answers=noted.exists, first_backoff_s=30)
    await supervisor.start(spec)
    await until(noted.read_text, "the child is noted")
    child = psutil.Process(int(noted.read_text()))
    os.kill(pid_of(supervisor, "parent"), signal.SIGKILL)
    await until(lambda: processes.wait_for_exit(child, 0.1), "the orphan is ended")


async def test_what_settled_is_not_waited_for(supervisor: Supervisor, told: Told) -> None:
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); " + SLEEP
    log = supervisor.data_dir / "logs" / "broker.log"
    spec = PartSpec(
        "broker",
        python(code),
        1,
        answers=lambda: log.exists() and "on" in log.read_text(),
        settled=lambda: True,
        grace_s=60,
    )
    await supervisor.start(spec)
    await asyncio.wait_for(supervisor.stop(), 5)
    assert not told.has("killed")


async def test_a_failing_command_says_its_last_line(supervisor: Supervisor) -> None:
    assert "done" in await supervisor.run("good", python("print('done')"))
    with pytest.raises(CannotStart, match=r"migrate failed \(exit code 2\): no such table"):
        await supervisor.run("migrate", python("import sys; print('no such table'); sys.exit(2)"))


async def test_a_large_log_is_cut_while_it_is_written(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gdsconsole.devstack.supervisor.LARGEST_LOG_BYTES", 1000)
    code = "import time\nwhile True: print('x' * 99, flush=True); time.sleep(0.001)"
    await supervisor.start(PartSpec("talker", python(code), 1))
    log = supervisor.parts["talker"].log
    await until(lambda: log.stat().st_size > 2000, "the log has grown")
    supervisor.housekeeping()
    assert log.with_name("talker.log.1").stat().st_size > 2000
    await until(lambda: log.stat().st_size > 2000, "the log is written on")
    assert log.read_bytes().startswith(b"x")  # no hole at its start


SUPERVISE = textwrap.dedent("""
    import asyncio, os, sys
    from pathlib import Path
    from gdsconsole.devstack.supervisor import PartSpec, Supervisor

    async def main():
        supervisor = Supervisor(Path(sys.argv[1]), dict(os.environ), print)
        sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
        await supervisor.start(PartSpec("one", sleep, 1))
        await supervisor.start(PartSpec("two", sleep, 1))
        print("started", flush=True)
        await asyncio.sleep(600)

    asyncio.run(main())
""")


def test_what_a_killed_supervisor_leaves_is_found_and_ended(tmp_path: Path) -> None:
    log = tmp_path / "supervisor.log"
    process = processes.start(python(SUPERVISE, str(tmp_path)), log=log, environment=os.environ)
    try:
        wait_until(lambda: "started" in log.read_text(), 20, "the supervisor has started its parts")
        process.kill()
        process.wait(5)
        left = run_state.leftovers(tmp_path)
        assert len(left) == 2
        processes.kill_all(left)
        assert all(processes.wait_for_exit(one, 5) for one in left)
        assert run_state.leftovers(tmp_path) == []
    finally:
        processes.kill_all(run_state.leftovers(tmp_path))


def test_a_recorded_process_is_found_without_its_mark(tmp_path: Path) -> None:
    process = processes.start(python(SLEEP), log=tmp_path / "log", environment=os.environ)
    try:
        created = psutil.Process(process.pid).create_time()
        run_state.directory(tmp_path).mkdir()

        def found(moment: float) -> list[int]:
            part = PartState("one", "running", process.pid, moment, "")
            run_state.write(tmp_path, RunState("ready", 1, 0.0, "http://127.0.0.1:1", parts=(part,)))
            return [one.pid for one in run_state.leftovers(tmp_path)]

        assert found(created) == [process.pid]
        assert found(created - 100) == []  # the pid was reused: another process, left alone
    finally:
        process.kill()
        process.wait(5)


def test_only_one_console_holds_the_lock(tmp_path: Path) -> None:
    assert not run_state.is_running(tmp_path)
    lock = run_state.take_lock(tmp_path)
    assert lock is not None
    assert run_state.take_lock(tmp_path) is None
    assert run_state.is_running(tmp_path)
    lock.close()
    assert not run_state.is_running(tmp_path)
