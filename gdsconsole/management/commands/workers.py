"""`manage.py workers`: what takes the console's tasks, and a sign of life for who supervises a worker."""

from __future__ import annotations

import json
import socket
import sys
import time
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from gdsconsole.cli.subcommands import Actions
from gdsconsole.cli.terminal import TerminalCommand
from gdsconsole.workers import marks

EXAMPLES = """
examples:
  manage.py workers list
  manage.py workers list --json
  manage.py workers check --queue pipelines          exit 1 when no worker anywhere takes its tasks
  manage.py workers check --queue pipelines --here   of this machine or container: a liveness probe
"""


class Command(TerminalCommand):
    help = "List the workers, and check that the tasks of a queue are taken."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        actions = Actions(parser, EXAMPLES)
        actions.add("list", "every worker, the queues it takes tasks from, and its processes")
        check = actions.add("check", "exit 0 when a worker takes the tasks of every queue that is named")
        check.add_argument(
            "--queue",
            action="append",
            choices=[queue.name for queue in settings.CELERY_TASK_QUEUES],
            required=True,
            help="may be given several times",
        )
        check.add_argument(
            "--here",
            action="store_true",
            help="of this host alone; exits 0 too where Redis takes no writes, which no restart mends",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        now = time.time()
        said = marks.read(settings.REDIS_URL)
        if options["action"] == "check":
            self._check(said, options["queue"], here=options["here"], as_json=options["json"], now=now)
            return
        if said is None:
            raise CommandError("Redis doesn't say which workers there are: it is away, or refuses")
        rows = [_row(mark, now) for mark in said]
        if options["json"]:
            self.stdout.write(json.dumps(rows))
            return
        for row in rows:
            state = "takes tasks" if row["takes_tasks"] else f"silent for {row['age_s']:.0f} s"
            queues = ", ".join(row["queues"])
            self.line(f"{row['name']:<32} {row['processes']:>3} processes  {queues:<18} {state}")
        if not rows:
            self.tell("no worker has been heard of")

    def _check(
        self, said: list[marks.Mark] | None, queues: list[str], *, here: bool, as_json: bool, now: float
    ) -> None:
        host = socket.gethostname()
        found = [mark for mark in said or () if not here or mark.host == host]
        silent = [queue for queue in queues if not marks.consuming(found, queue, now=now)]
        if as_json:
            self.stdout.write(json.dumps({"silent": silent}))
        if not silent:
            return
        where = f" on {host}" if here else ""
        if here and not marks.takes_writes(settings.REDIS_URL):
            self.tell("Redis takes no writes, so nothing is known of a worker")
            return
        self.tell(f"no worker{where} takes tasks from {', '.join(silent)}")
        sys.exit(1)


def _row(mark: marks.Mark, now: float) -> dict[str, Any]:
    return {
        "name": mark.name,
        "host": mark.host,
        "pid": mark.pid,
        "queues": list(mark.queues),
        "processes": mark.processes,
        "takes_tasks": marks.is_consuming(mark, now=now),
        "age_s": round(max(0.0, now - mark.at), 1),
    }
