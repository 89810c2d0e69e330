"""What a running console says of itself to `status`, `down` and the next `up`: one small file.

The console holds a lock on a file beside it for as long as it lives, so that neither a crash nor a
reused process id can look like a running console.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

import psutil

from gdsconsole.devstack.files import write_private

PHASES = ("starting", "ready", "stopping", "stopped", "failed")
# A console writes its state whenever that changes, and this often; a state that is older than a few of these
# was not written any more, because the disk is full or the console frozen.
WRITTEN_EVERY_S = 5.0
STALE_S = 20.0


@dataclass(frozen=True, slots=True)
class PartState:
    name: str
    state: str  # starting, running, silent, restarting, stopping, stopped
    pid: int | None
    created: float | None  # the process's start, which tells it from a later one with the same pid
    detail: str
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class RunState:
    phase: str
    pid: int
    created: float
    url: str
    reason: str = ""  # of a failure
    parts: tuple[PartState, ...] = field(default=())
    written_at: float = 0.0

    def age_s(self, *, now: float) -> float:
        """How long ago it was true."""
        return max(0.0, now - self.written_at)


def directory(data_dir: Path) -> Path:
    return data_dir / "run"


def write(data_dir: Path, state: RunState) -> None:
    write_private(directory(data_dir) / "state.json", json.dumps(asdict(state), indent=1))


def read(data_dir: Path) -> RunState | None:
    """What the last console said; None when there was none. See `lock_holder_lives` for whether it runs."""
    try:
        kept = json.loads((directory(data_dir) / "state.json").read_text())
        parts = tuple(PartState(**part) for part in kept.pop("parts"))
        return RunState(**kept, parts=parts)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def take_lock(data_dir: Path) -> IO[str] | None:
    """The open, locked file, to be kept open; None when a console holds it."""
    directory(data_dir).mkdir(parents=True, exist_ok=True, mode=0o700)
    file = (directory(data_dir) / "lock").open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def is_running(data_dir: Path) -> bool:
    """True while a console of this data directory lives."""
    if not (directory(data_dir) / "lock").is_file():
        return False
    lock = take_lock(data_dir)
    if lock is None:
        return True
    lock.close()
    return False


def same_process(pid: int, created: float | None) -> psutil.Process | None:
    """The process, if it is still the one that was started at `created`."""
    try:
        process = psutil.Process(pid)
        if created is not None and abs(process.create_time() - created) < 0.01:
            return process
    except psutil.NoSuchProcess:
        pass
    return None


def leftovers(data_dir: Path) -> list[psutil.Process]:
    """Processes that a console of this data directory started and that still run.

    They are known by the mark in their environment, which every descendant inherits, and by the
    recorded process ids for the case that an environment can't be read.
    """
    found = {process.pid: process for process in marked(str(data_dir))}
    state = read(data_dir)
    for part in state.parts if state else ():
        process = same_process(part.pid, part.created) if part.pid else None
        if process is not None:
            found.update({one.pid: one for one in (process, *process.children(recursive=True))})
    return [process for process in found.values() if process.pid != os.getpid()]


MARK = "GDS_SUPERVISED_BY"
PART_MARK = "GDS_PART"


def marked(data_dir: str, part: str | None = None) -> Iterable[psutil.Process]:
    """Processes whose environment says that they are of this console, or of one part of it."""
    for process in psutil.process_iter():
        try:
            environ = process.environ()
            if environ.get(MARK) != data_dir or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if part is None or environ.get(PART_MARK) == part:
                yield process
        except (psutil.Error, OSError):
            continue
