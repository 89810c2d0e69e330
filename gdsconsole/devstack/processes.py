"""Child processes: started so that they can be stopped with all that they started."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

_PR_SET_PDEATHSIG = 1


def start(
    command: Sequence[str | Path],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    die_with_parent: bool = False,
) -> subprocess.Popen[bytes]:
    """Start `command` in a session of its own, its output appended to `log`.

    With `die_with_parent` the kernel kills it when the thread that started it ends (Linux only).
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        return subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=dict(environment) if environment is not None else None,
            cwd=cwd,
            start_new_session=True,
            preexec_fn=_die_with_parent if die_with_parent and sys.platform == "linux" else None,
        )


def stop(process: subprocess.Popen[bytes], *, grace_s: float) -> bool:
    """SIGTERM, then SIGKILL to the whole tree after `grace_s`; True when it ended by itself."""
    if process.poll() is not None:
        return True
    family = tree(process.pid)
    process.terminate()
    try:
        process.wait(grace_s)
        ended = True
    except subprocess.TimeoutExpired:
        ended = False
    kill_all([*family, *tree(process.pid)])
    process.wait(10)
    return ended


def tree(pid: int) -> list[psutil.Process]:
    """The process and everything below it, as of now; empty when it is gone."""
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def kill_all(processes: Sequence[psutil.Process]) -> None:
    """SIGKILL each that still runs. psutil compares creation times, so a reused pid is left alone."""
    for process in processes:
        try:
            if not has_ended(process):
                process.kill()
        except psutil.NoSuchProcess:
            continue


def has_ended(process: psutil.Process) -> bool:
    """True once nothing of it runs: it is gone, or a zombie without threads.

    A killed process with many threads, as a broker is, shows as a zombie as soon as its first thread is gone;
    its ports and files are its own until the last one is.
    """
    try:
        if not process.is_running():
            return True
        return process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1
    except psutil.NoSuchProcess:
        return True


def last_lines(log: Path, count: int = 1) -> list[str]:
    """The last lines of a log that say anything; empty when there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 65_536))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line.strip() for line in text.splitlines() if line.strip()][-count:]


def wait_for_exit(process: psutil.Process, timeout_s: float) -> bool:
    """True once the process has ended."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if has_ended(process):
            return True
        time.sleep(0.02)
    return False


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1:
        os._exit(1)
