"""`manage.py down`: stops a console that runs, and whatever a crashed one left behind."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from gdsconsole.cli.terminal import TerminalCommand
from gdsconsole.devstack import processes, run_state
from gdsconsole.devstack.progress import Progress

EXAMPLES = """examples:
  manage.py down
"""
# Longer than all parts may take: then the supervisor itself hangs.
PATIENCE_S = 90.0


class Command(TerminalCommand):
    help = "Stops the console that runs with this data directory; nothing of it is left running."
    requires_system_checks = ()

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        kwargs |= {"formatter_class": argparse.RawDescriptionHelpFormatter, "epilog": EXAMPLES}
        return super().create_parser(prog_name, subcommand, **kwargs)

    def handle(self, *args: Any, **options: Any) -> None:
        tell = Progress(sys.stderr).tell
        data_dir: Path = settings.GDS_DATA_DIR
        ran = run_state.is_running(data_dir)
        if ran:
            self._stop(data_dir, tell)
        left = run_state.leftovers(data_dir)
        processes.kill_all(left)
        alive = [process.pid for process in left if not processes.wait_for_exit(process, 5)]
        if alive:
            raise CommandError(f"still running: {', '.join(map(str, alive))}")
        if left:
            tell(f"ended {len(left)} processes that were left behind")
        elif not ran:
            tell("nothing runs")

    def _stop(self, data_dir: Path, tell: Callable[[str], None]) -> None:
        state = run_state.read(data_dir)
        process = run_state.same_process(state.pid, state.created) if state else None
        if process is None:
            raise CommandError("a console is just starting: try again in a moment")
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)
        while run_state.is_running(data_dir):
            if time.monotonic() - began > PATIENCE_S:
                tell(f"the console did not stop within {PATIENCE_S:.0f} s: killing it")
                process.kill()
                processes.wait_for_exit(process, 5)
                return
            time.sleep(0.05)
        tell(f"stopped in {time.monotonic() - began:.1f} s")
