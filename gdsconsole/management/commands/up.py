"""`manage.py up`: the whole console on this machine, from nothing."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from gdsconsole.cli.terminal import TerminalCommand
from gdsconsole.devstack import before_settings, environment, parts, processes, run_state
from gdsconsole.devstack.console import Console, UpOptions
from gdsconsole.devstack.errors import CannotStart
from gdsconsole.devstack.progress import Progress
from gdsconsole.env import KEPT_FILE

EXAMPLES = """examples:
  manage.py up                        everything in the foreground; Ctrl-C stops it
  manage.py up --detach --port 8080   return once it is ready; `manage.py down` stops it
  manage.py up --reset --brokers 1    throw the data away and start with one broker
"""
# What a detached console says to the `up` that waits for it, when it isn't ready in time and stays up.
LATE = "not ready"
# All that `up` and its parts make in the data directory, and nothing that somebody else may keep there.
_DATA = ("kafka", "redis", "beat", "static", "logs", "run/prepared.json")
_FILES = (environment.LAYOUT_FILE, environment.USERS_FILE, KEPT_FILE, "console.sqlite3")


class Command(TerminalCommand):
    help = (
        "Starts Kafka, Redis, the database, the web server, workers and sample traffic on 127.0.0.1, "
        "prints `ready URL` and the demo users when every part answers, and keeps all of it running. "
        "What doesn't answer in time is said, and stops nothing."
    )
    requires_system_checks = ()

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        kwargs |= {"formatter_class": argparse.RawDescriptionHelpFormatter, "epilog": EXAMPLES}
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--detach", action="store_true", help="return when it is ready, leave it running")
        parser.add_argument(
            "--brokers", type=_brokers, metavar="N", help="Kafka brokers of a first start (default: 3)"
        )
        parser.add_argument(
            "--port", type=_port, default=8000, metavar="P", help="of the web server (default: 8000)"
        )
        parser.add_argument("--no-traffic", action="store_true", help="without sample telemetry")
        parser.add_argument("--reset", action="store_true", help="throw the kept data away first")
        # The process that `--detach` leaves behind; its caller prints the passwords.
        parser.add_argument("--detached", action="store_true", help=argparse.SUPPRESS)

    def handle(self, *args: Any, **options: Any) -> None:
        data_dir: Path = settings.GDS_DATA_DIR
        lock = run_state.take_lock(data_dir)
        if lock is None:
            self._already_runs(data_dir)
            return
        try:
            if options["detach"]:
                lock.close()
                code = self._detach(data_dir, options)
            else:
                code = self._run(data_dir, options, lock)
        except CannotStart as error:
            raise CommandError(str(error)) from error
        if code != 0:
            sys.exit(code)

    def _already_runs(self, data_dir: Path) -> None:
        state = run_state.read(data_dir)
        if state is None or state.phase != "ready":
            phase = state.phase if state else "starting"
            raise CommandError(f"a console with the data in {data_dir} is {phase}: see `manage.py status`")
        Progress(sys.stderr).tell(f"already running, pid {state.pid}; `manage.py down` stops it")
        self.line(f"ready {state.url}")

    def _run(self, data_dir: Path, options: dict[str, Any], lock: IO[str]) -> int:
        progress = Progress(sys.stderr)
        left = run_state.leftovers(data_dir)
        if left:
            progress.tell(f"ending {len(left)} processes that an earlier console left behind")
            processes.kill_all(left)
            for process in left:
                processes.wait_for_exit(process, 5)
        if options["reset"]:
            _reset(data_dir, of_database=settings.ENVIRONMENT.database_url)
            environment.ensure_secret_key(data_dir, before_settings.given())
            progress.tell(f"threw away the data in {data_dir}")
        environment.check_disk(data_dir)
        wishes = UpOptions(
            data_dir=data_dir,
            port=options["port"],
            brokers=options["brokers"],
            traffic=not options["no_traffic"],
            maven_repository=settings.ENVIRONMENT.kafka_maven_repository,
            database=settings.ENVIRONMENT.database_url,
            given=before_settings.given(),
        )
        began = time.monotonic()

        def on_ready() -> None:
            progress.tell(f"everything answers after {time.monotonic() - began:.1f} s")
            self.line(f"ready {console.url}")
            if not options["detached"]:
                self._print_users(data_dir)
                progress.tell(f"logs and data are in {data_dir}; Ctrl-C stops everything")
            self.stdout.flush()

        def on_late() -> None:
            if options["detached"]:
                self.line(LATE)
                self.stdout.flush()

        console = Console(wishes, progress, on_ready, on_late)
        try:
            return asyncio.run(console.run())
        finally:
            lock.close()

    def _detach(self, data_dir: Path, options: dict[str, Any]) -> int:
        """Start the console as a process of its own, repeat what it says, return when it is ready."""
        words = ["up", "--detached", "--port", str(options["port"])]
        words += ["--brokers", str(options["brokers"])] if options["brokers"] else []
        words += ["--no-traffic"] if options["no_traffic"] else []
        words += ["--reset"] if options["reset"] else []
        log = run_state.directory(data_dir) / "up.log"
        log.unlink(missing_ok=True)
        process = processes.start(parts.manage(*words), log=log, environment=before_settings.given())
        try:
            return self._follow(process, log, data_dir)
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            raise

    def _follow(self, process: subprocess.Popen[bytes], log: Path, data_dir: Path) -> int:
        progress = Progress(sys.stderr)
        with log.open() as said:
            while True:
                code = process.poll()  # before reading, so that the last lines are not missed
                for line in said:
                    if line.startswith("ready "):
                        self.line(line.rstrip())
                        self._print_users(data_dir)
                        return 0
                    if line.rstrip() == LATE:
                        progress.tell("see `manage.py status`; `manage.py down` stops it")
                        return 1
                    progress.tell(line.rstrip())
                if code is not None:
                    return code or 1
                time.sleep(0.05)

    def _print_users(self, data_dir: Path) -> None:
        for name, password in environment.read_users(data_dir).items():
            self.line(f"  {name:<10} {password}")


def _reset(data_dir: Path, *, of_database: str) -> None:
    # The audit's keys and anchor are about the database: one elsewhere stays, and they with it.
    audit = ("audit",) if of_database == f"sqlite:///{data_dir / 'console.sqlite3'}" else ()
    for name in (*_DATA, *audit, *_FILES):
        path = data_dir / name
        if path.is_dir():
            shutil.rmtree(path)
        for file in data_dir.glob(f"{name}*") if name.endswith(".sqlite3") else (path,):
            if file.is_file():
                file.unlink()


def _brokers(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= environment.MOST_BROKERS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {environment.MOST_BROKERS}")
    return int(text)


def _port(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 1 to 65535")
    return int(text)
