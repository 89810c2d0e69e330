"""Console processes for tests, each in a group of its own so that nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent.parent


class Part:
    """A running process with its log."""

    def __init__(self, command: list[str], environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command, env=dict(environment), cwd=ROOT, stdout=output, stderr=output, start_new_session=True
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def children(self) -> list[int]:
        return [child.pid for child in psutil.Process(self.pid).children(recursive=True)]

    def signal(self, number: signal.Signals) -> None:
        """To the process itself, not to its children."""
        os.kill(self.pid, number)

    def wait(self, timeout_s: float) -> int:
        return self.process.wait(timeout_s)

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def end(self) -> None:
        """Kill whatever is left of the group."""
        try:
            os.killpg(self.pid, signal.SIGCONT)
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(10)


class Parts:
    """Starts workers, beat and commands in one environment, and ends them all."""

    def __init__(self, environment: Mapping[str, str], directory: Path) -> None:
        self._environment = environment
        self._directory = directory
        self._started: list[Part] = []

    def worker(self, *, concurrency: int = 5, queues: str = "pipelines") -> Part:
        words = ["worker", "--queues", queues, "--concurrency", str(concurrency), "--pool", "prefork"]
        words += ["--loglevel", "INFO", "--without-gossip", "--without-mingle", "--without-heartbeat"]
        return self._start(["-m", "celery", "--app", "gdsconsole", *words], "worker")

    def beat(self) -> Part:
        schedule = str(self._directory / "beat-schedule")
        words = ["beat", "--loglevel", "INFO", "--pidfile", "", "--schedule", schedule]
        default = [
            "worker",
            "--queues",
            "default",
            "--concurrency",
            "1",
            "--pool",
            "solo",
            "--loglevel",
            "INFO",
        ]
        self._start(["-m", "celery", "--app", "gdsconsole", *default, "--hostname", "default@%h"], "default")
        return self._start(["-m", "celery", "--app", "gdsconsole", *words], "beat")

    def manage(self, *words: str) -> Part:
        return self._start([str(ROOT / "manage.py"), *words], words[0])

    def module(self, name: str, *words: str) -> Part:
        return self._start(["-m", name, *words], words[0] if words else name)

    def end(self) -> None:
        for part in reversed(self._started):
            part.end()

    def _start(self, words: list[str], name: str) -> Part:
        log = self._directory / f"{name}-{len(self._started)}.log"
        part = Part([sys.executable, *words], self._environment, log)
        self._started.append(part)
        return part


@contextmanager
def console_parts(environment: Mapping[str, str], directory: Path) -> Iterator[Parts]:
    parts = Parts(environment, directory)
    try:
        yield parts
    finally:
        parts.end()
