"""A PostgreSQL of the tests' own, and how `make test` gets one where there is none.

python -m tests.postgresql      print where its programs are, installing them first where that is needed
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import psycopg

from tests.waiting import wait_until

USER = "gds"


def find() -> Path | None:
    """The directory of the newest version's programs; None when there is none."""
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if packaged:
        return packaged[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


def install() -> Path | None:
    """As root on Debian its package; elsewhere it is for the user to install."""
    if _is_root() and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for words in (["update"], ["install", "--yes", "--no-install-recommends", "postgresql"]):
            subprocess.run(["apt-get", "--quiet", *words], env=environment, stdout=sys.stderr, check=False)
    return find()


class PostgresqlServer:
    """One server on a loopback port, its data in a temporary directory that ends with it.

    It refuses to run as root, so then it runs as the package's user. Unless it `is_durable`, what it
    says is written may not outlive the machine.
    """

    def __init__(self, programs: Path, port: int, *, is_durable: bool = False) -> None:
        self.port = port
        self._is_durable = is_durable
        self._programs = programs
        self._directory = Path(tempfile.mkdtemp(prefix="gdsconsole-postgresql-"))
        self._identity: dict[str, Any] = {}
        if _is_root():
            account = pwd.getpwnam("postgres")
            os.chown(self._directory, account.pw_uid, account.pw_gid)
            self._identity = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        data = self._directory / "data"
        made = [self._programs / "initdb", "--pgdata", data, "--username", USER, "--auth", "trust"]
        self._run([*made, "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"])
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "fsync": "on" if self._is_durable else "off",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (self._directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", data, *options],
                cwd="/",
                stdout=log,
                stderr=log,
                **self._identity,
            )
        wait_until(self._answers, 30, "PostgreSQL answers")

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)  # at once: nothing here is worth a checkpoint
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def create_database(self, name: str) -> str:
        """Make an empty database; its URL."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name)))
        return self.url(name)

    def _run(self, command: list[Any]) -> None:
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False, **self._identity)
        if done.returncode != 0:
            raise RuntimeError(f"{Path(command[0]).name} failed: {done.stderr[-500:]}")

    def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"PostgreSQL ended: {(self._directory / 'log').read_text()[-500:]}")
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def main() -> int:
    found = find() or install()
    if found is None:
        sys.stderr.write("no PostgreSQL, and none could be installed: its tests are skipped\n")
    else:
        sys.stdout.write(f"{found}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
