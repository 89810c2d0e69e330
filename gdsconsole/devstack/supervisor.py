"""Keeps the console's parts running: starts them, restarts what crashes, stops all, leaves nothing.

Each part is a process in a session of its own with a mark in its environment that whatever it starts
inherits. So a worker's children are found and ended with it even when the worker itself was killed.
Why this is not a library: docs/decisions/0001-supervisor.md.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from gdsconsole.devstack import processes, run_state
from gdsconsole.devstack.errors import CannotStart

LONGEST_BACKOFF_S = 30.0
STEADY_S = 60.0  # a part that ran this long starts its backoff anew
LOOK_EVERY_S = 2.0
LARGEST_LOG_BYTES = 20 << 20
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True)
class PartSpec:
    name: str
    command: Sequence[str]
    stage: int  # parts of the highest stage stop first; those of one stage stop together
    # May block for a second, as `alive` may, which goes before it; None: running is enough.
    answers: Callable[[], bool] | None = None
    start_timeout_s: float = 60.0
    grace_s: float = 10.0  # from SIGTERM to SIGKILL
    settled: Callable[[], bool] | None = None  # after SIGTERM: nothing is left to lose, it may be killed
    first_backoff_s: float = 0.5
    prepare: Callable[[], None] | None = None  # before each start, so what it made may be deleted
    # Whether the process of this id does its work, asked for as long as it runs; None where nobody can tell.
    alive: Callable[[int], bool | None] | None = None
    longest_silence_s: float = 45.0  # without a sign of life; then it is started anew
    directory: Path | None = None  # where it keeps its data; made again where somebody deleted it


@dataclass(slots=True)
class Part:
    spec: PartSpec
    log: Path
    state: str = "starting"
    process: subprocess.Popen[bytes] | None = None
    created: float | None = None
    started_at: float = 0.0
    looked_at: float = 0.0
    silent_since: float | None = None
    failures: int = 0  # ends in a row
    restarts: int = 0
    detail: str = ""
    watch: asyncio.Task[None] | None = None


@dataclass(slots=True)
class Supervisor:
    """Runs parts inside one event loop.

    `tell` gets one line for people; `changed` is called after every change of a part's state.
    """

    data_dir: Path
    environment: Mapping[str, str]
    tell: Callable[[str], None]
    changed: Callable[[], None] = lambda: None
    parts: dict[str, Part] = field(default_factory=dict, init=False)
    _commands: set[int] = field(default_factory=set, init=False)

    async def start(self, spec: PartSpec) -> None:
        """Start a part and return when it answers; raise CannotStart when it ends or doesn't."""
        part = self.parts[spec.name] = Part(spec, self.data_dir / "logs" / f"{spec.name}.log")
        self._spawn(part)
        deadline = time.monotonic() + spec.start_timeout_s
        while not await self._answers(part):
            code = self._exit_code(part)
            if code is not None:
                raise CannotStart(
                    f"{spec.name} ended at its start ({_in_words(code)}): {_last_words(part.log)}"
                )
            if time.monotonic() > deadline:
                raise CannotStart(
                    f"{spec.name} gave no answer within {spec.start_timeout_s:.0f} s: {_last_words(part.log)}"
                )
            await asyncio.sleep(0.05)
        self._set(part, "running")
        part.watch = asyncio.create_task(self._keep_running(part), name=f"watch {spec.name}")

    async def run(self, name: str, command: Sequence[str], *, timeout_s: float = 300.0) -> str:
        """Run a command to its end and return what it printed; raise CannotStart when it fails."""
        log = self.data_dir / "logs" / f"{name}.log"
        log.unlink(missing_ok=True)
        process = processes.start(command, log=log, environment=self._environment_of(name))
        self._commands.add(process.pid)
        deadline = time.monotonic() + timeout_s
        try:
            while (code := process.poll()) is None:
                if time.monotonic() > deadline:
                    raise CannotStart(f"{name} did not end within {timeout_s:.0f} s: {_last_words(log)}")
                await asyncio.sleep(0.02)
        finally:
            processes.stop(process, grace_s=2)
        if code != 0:
            raise CannotStart(f"{name} failed ({_in_words(code)}): {_last_words(log)}")
        return log.read_text(errors="replace")

    async def stop(self) -> None:
        """Stop every part, the highest stage first, and then whatever is left of any of them."""
        for part in self.parts.values():
            if part.watch is not None:
                part.watch.cancel()
        for stage in sorted({part.spec.stage for part in self.parts.values()}, reverse=True):
            ending = [part for part in self.parts.values() if part.spec.stage == stage]
            await asyncio.gather(*(self._stop_part(part) for part in ending))
        left = await asyncio.to_thread(lambda: list(run_state.marked(str(self.data_dir))))
        processes.kill_all(left)
        for process in left:
            await asyncio.to_thread(processes.wait_for_exit, process, 5.0)
        self.reap_orphans()

    def kill_now(self) -> None:
        """End everything at once: what a second Ctrl-C asks for."""
        processes.kill_all(list(run_state.marked(str(self.data_dir))))

    def housekeeping(self) -> None:
        """To be called every few seconds: bury adopted children that ended, bound the logs."""
        self.reap_orphans()
        for part in self.parts.values():
            if part.watch is not None and part.watch.done() and not part.watch.cancelled():
                part.watch.result()  # an error in the watching itself must not pass in silence
        for part in self.parts.values():
            _bound_log(part.log)

    def reap_orphans(self) -> None:
        """Collect the exit of processes whose own parent died and which became ours."""
        known = {part.process.pid for part in self.parts.values() if part.process is not None}
        known |= self._commands
        for child in psutil.Process().children():
            try:
                if child.pid not in known and child.status() == psutil.STATUS_ZOMBIE:
                    os.waitpid(child.pid, os.WNOHANG)
            except (psutil.Error, OSError):
                continue

    def states(self) -> tuple[run_state.PartState, ...]:
        return tuple(
            run_state.PartState(
                name=part.spec.name,
                state=part.state,
                pid=part.process.pid if part.process is not None and part.process.poll() is None else None,
                created=part.created,
                detail=part.detail,
                restarts=part.restarts,
            )
            for part in self.parts.values()
        )

    async def _keep_running(self, part: Part) -> None:
        """Watch one part for as long as the console runs, and start it again whenever it ends."""
        while True:
            while (code := self._exit_code(part)) is None:
                await asyncio.sleep(0.1)
                await self._look_after(part)
            await self._end_tree(part)
            if time.monotonic() - part.started_at > STEADY_S:
                part.failures = 0
            delay = backoff_s(part.spec.first_backoff_s, part.failures)
            part.failures += 1
            self._set(part, "restarting", f"{_in_words(code)}, again in {delay:g} s")
            line = f"{part.spec.name} ended ({_in_words(code)}), starting it again in {delay:g} s"
            # One that was killed had no chance to say why.
            self.tell(line if code < 0 else f"{line}: {_last_words(part.log)}")
            await asyncio.sleep(delay)
            part.restarts += 1
            try:
                self._spawn(part)
            except CannotStart as error:
                self.tell(str(error))
            while self._exit_code(part) is None and not await self._answers(part):
                await asyncio.sleep(0.1)
            if self._exit_code(part) is None:
                self._set(part, "running")
                self.tell(f"{part.spec.name} runs again (pid {self._process(part).pid})")

    async def _look_after(self, part: Part) -> None:
        """Say so when a part runs and does nothing; end it when that goes on, so that another is started."""
        now = time.monotonic()
        if part.spec.alive is None or now - part.looked_at < LOOK_EVERY_S:
            return
        part.looked_at = now
        if await asyncio.to_thread(part.spec.alive, self._process(part).pid) is not False:
            part.silent_since = None
            if part.state == "silent":
                self._set(part, "running")
            return
        if part.silent_since is None:
            part.silent_since = now
            self._set(part, "silent", "it runs, and does not do its work")
        elif now - part.silent_since > part.spec.longest_silence_s:
            part.silent_since = None
            self.tell(f"{part.spec.name} has done nothing for {part.spec.longest_silence_s:.0f} s: ending it")
            self._process(part).kill()

    async def _stop_part(self, part: Part) -> None:
        process = part.process
        if process is None:
            return
        self._set(part, "stopping")
        began = time.monotonic()
        if process.poll() is None:
            # To the part alone, not to its group: a worker tells its own children what to do.
            process.terminate()
            # A frozen process takes a signal only once it is thawed.
            process.send_signal(signal.SIGCONT)
        settled = False
        while not settled and process.poll() is None and time.monotonic() - began < part.spec.grace_s:
            await asyncio.sleep(0.02)
            settled = part.spec.settled is not None and part.spec.settled()
        by_itself = settled or process.poll() is not None
        await self._end_tree(part)
        await asyncio.to_thread(process.wait, 10)
        self._set(part, "stopped")
        took = time.monotonic() - began
        self.tell(f"{part.spec.name} stopped in {took:.1f} s" + ("" if by_itself else ", killed"))

    async def _end_tree(self, part: Part) -> None:
        """Kill what is left of the part's processes, wherever they hang in the tree."""
        mark = str(self.data_dir)
        left = await asyncio.to_thread(lambda: list(run_state.marked(mark, part.spec.name)))
        processes.kill_all(left)

    async def _answers(self, part: Part) -> bool:
        if part.spec.alive is not None:
            return await asyncio.to_thread(part.spec.alive, self._process(part).pid) is True
        if part.spec.answers is None:
            return True
        return await asyncio.to_thread(part.spec.answers)

    def _spawn(self, part: Part) -> None:
        _bound_log(part.log)
        environment = self._environment_of(part.spec.name)
        try:
            if part.spec.directory is not None:
                part.spec.directory.mkdir(parents=True, exist_ok=True)
            if part.spec.prepare is not None:
                part.spec.prepare()
            part.process = processes.start(part.spec.command, log=part.log, environment=environment)
        except OSError as error:
            raise CannotStart(f"{part.spec.name} can't be started: {error}") from error
        part.started_at = time.monotonic()
        try:
            part.created = psutil.Process(part.process.pid).create_time()
        except psutil.NoSuchProcess:
            part.created = None
        self._set(part, "starting")

    def _process(self, part: Part) -> subprocess.Popen[bytes]:
        if part.process is None:
            raise RuntimeError(f"{part.spec.name} was never started")
        return part.process

    def _exit_code(self, part: Part) -> int | None:
        return self._process(part).poll()

    def _environment_of(self, name: str) -> dict[str, str]:
        return {**self.environment, run_state.MARK: str(self.data_dir), run_state.PART_MARK: name}

    def _set(self, part: Part, state: str, detail: str = "") -> None:
        part.state, part.detail = state, detail
        self.changed()


def backoff_s(first_s: float, failures: int) -> float:
    """Seconds to wait after this many ends in a row: doubled each time, bounded."""
    return min(LONGEST_BACKOFF_S, first_s * float(2 ** min(failures, 16)))


def adopt_orphans() -> None:
    """Make descendants whose parent dies children of this process, so none escapes (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _last_words(log: Path) -> str:
    said = processes.last_lines(log)
    return f"{said[-1][:300] if said else 'it said nothing'} ({log})"


def _in_words(code: int) -> str:
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"


def _bound_log(log: Path) -> None:
    """Keep one older file beside a log that has grown; it is open for appending, so it can be cut."""
    try:
        if log.stat().st_size > LARGEST_LOG_BYTES:
            log.with_name(log.name + ".1").write_bytes(log.read_bytes())
            os.truncate(log, 0)
    except OSError:
        return
