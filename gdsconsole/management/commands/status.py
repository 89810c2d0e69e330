"""`manage.py status`: what runs, where it answers, and whether all of it does."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, TypedDict

from django.conf import settings
from django.core.management.base import CommandParser

from gdsconsole.cli.terminal import TerminalCommand
from gdsconsole.devstack import console, environment, run_state
from gdsconsole.service_addresses import without_password
from gdsconsole.text import formats

EXAMPLES = """examples:
  manage.py status
  manage.py status --json --secrets   with the demo users' passwords
"""


class PartStatus(TypedDict):
    name: str
    state: str
    pid: int | None
    detail: str


class Status(TypedDict, total=False):
    ready: bool
    reason: str
    url: str | None
    kafka_bootstrap_servers: str
    redis_url: str
    database_url: str
    state_age_s: float | None
    users: dict[str, str]
    parts: list[PartStatus]


class Command(TerminalCommand):
    help = "Shows the parts of the console; exits 0 only when every part answers."
    requires_system_checks = ()

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        kwargs |= {"formatter_class": argparse.RawDescriptionHelpFormatter, "epilog": EXAMPLES}
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
        parser.add_argument("--secrets", action="store_true", help="with the demo users' passwords")

    def handle(self, *args: Any, **options: Any) -> None:
        status = read_status(settings.GDS_DATA_DIR, secrets=options["secrets"])
        if options["json"]:
            self.stdout.write(json.dumps(status, indent=2))
        else:
            self._print(status)
        if not status["ready"]:
            sys.exit(1)

    def _print(self, status: Status) -> None:
        self.line(f"ready {status['url']}" if status["ready"] else f"not ready: {status['reason']}")
        for part in status["parts"]:
            pid = part["pid"] if part["pid"] is not None else "-"
            self.line(f"  {part['name']:<18} {part['state']:<11} {pid!s:>8}  {part['detail']}".rstrip())
        if not status["parts"]:
            return
        self.line(f"  Kafka     {status['kafka_bootstrap_servers']}")
        self.line(f"  Redis     {status['redis_url']}")
        self.line(f"  database  {status['database_url']}")
        for name, password in status.get("users", {}).items():
            self.line(f"  {name:<10} {password}")


def read_status(data_dir: Path, *, secrets: bool) -> Status:
    """The console of this data directory as it is now; asks its web server for what it can't see."""
    state = run_state.read(data_dir)
    is_running = run_state.is_running(data_dir)
    runs = state is not None and is_running
    age_s = state.age_s(now=time.time()) if runs and state is not None else None
    parts: list[PartStatus] = []
    reason = "nothing runs: `manage.py up` starts it"
    if state is not None and state.phase == "failed":
        reason = f"the last start failed: {state.reason}"
    if state is None and is_running:
        reason = f"a console runs, and what it wrote of itself in {data_dir / 'run'} can't be read"
    if runs and state is not None and age_s is not None:
        is_stale = age_s > run_state.STALE_S
        parts = [_part(part, age_s if is_stale else None) for part in state.parts]
        reason = _missing(state, age_s if is_stale else None)
    elif state is not None and state.phase in {"ready", "starting"}:
        reason = "the console was killed: `manage.py up` starts it again, `manage.py down` ends what it left"
    status = Status(
        ready=not reason,
        reason=reason,
        url=state.url if runs and state is not None else None,
        kafka_bootstrap_servers=settings.KAFKA_BOOTSTRAP_SERVERS,
        redis_url=without_password(settings.REDIS_URL),
        database_url=without_password(settings.ENVIRONMENT.database_url),
        state_age_s=None if age_s is None else round(age_s, 1),
        parts=parts,
    )
    if secrets:
        status["users"] = environment.read_users(data_dir)
    return status


def _part(part: run_state.PartState, stale_s: float | None) -> PartStatus:
    """As it was written; of a state that is not written any more, what its process shows instead."""
    if stale_s is None:
        return PartStatus(name=part.name, state=part.state, pid=part.pid, detail=part.detail)
    lives = part.pid is not None and run_state.same_process(part.pid, part.created) is not None
    detail = (
        f"was {part.state} {formats.duration(stale_s)} ago; its process {'lives' if lives else 'is gone'}"
    )
    return PartStatus(
        name=part.name, state="unknown" if lives else "gone", pid=part.pid if lives else None, detail=detail
    )


def _missing(state: run_state.RunState, stale_s: float | None) -> str:
    """Why the console is not ready; empty when it is."""
    if stale_s is not None:
        told = f"what it last wrote of its parts is of {formats.duration(stale_s)} ago: a full disk?"
        return "; ".join([told, *console.not_ready(state.url, timeout_s=8)])
    if state.phase not in {"ready", "starting"}:
        return f"it is {state.phase}"
    if state.phase == "starting":
        # Without its web nothing more is known than that.
        serves = any(part.name == "web" and part.state == "running" for part in state.parts)
        missing = "; ".join(console.not_ready(state.url, timeout_s=8)) if serves else ""
        return f"it is starting: {missing}" if missing else "it is starting"
    waiting = [f"{part.name} is {part.state}" for part in state.parts if part.state != "running"]
    return "; ".join([*waiting, *console.not_ready(state.url, timeout_s=8)])
