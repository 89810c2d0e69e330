"""Commands that are several actions: `manage.py COMMAND ACTION`."""

from __future__ import annotations

import argparse
from typing import Any


class Actions:
    """The actions of a command, each with `--json`; every help ends with the command's examples.

    The name of the chosen one is in the option `dest`.
    """

    def __init__(self, parser: argparse.ArgumentParser, examples: str, *, dest: str = "action") -> None:
        self._examples = examples
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        parser.epilog = examples
        self._parsers = parser.add_subparsers(dest=dest, required=True, metavar="ACTION")

    def add(self, name: str, what: str) -> Any:
        """A parser for the action's own arguments."""
        action = self._parsers.add_parser(
            name,
            help=what,
            epilog=self._examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        action.add_argument("--json", action="store_true", help="the result as JSON on standard output")
        return action
