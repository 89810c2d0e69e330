"""`manage.py audit`: who did what, and whether the log is what was written."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from gdsconsole.audit import services
from gdsconsole.audit.actors import command_actor
from gdsconsole.audit.filters import filtered
from gdsconsole.audit.models import AuditEntry
from gdsconsole.audit.verification import verify
from gdsconsole.cli.subcommands import Actions
from gdsconsole.cli.terminal import TerminalCommand
from gdsconsole.database.reporting import database_told

EXAMPLES = """
examples:
  manage.py audit list --since 24h
  manage.py audit list --action pipeline --actor operator --json
  manage.py audit verify
  manage.py audit mend-triggers --reason "dropped by the migration of 3 May, looked into"
  manage.py audit verify --noted 1204:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

verify names what it found changed, and says what it could not know: entries are sealed with a key (of
SECRET_KEY, or GDS_AUDIT_KEYS), and each commit is anchored in audit/ of the data directory, both outside of
the database. Note the number and digest that verify prints on another machine, too: given back with --noted,
they show that not even someone who had the key and the data directory rewrote what was there.

mend-triggers makes the triggers again as they have to be, and is an entry itself that says what was wrong
with them. What was done to entries stays told: nothing mends a log.

JSON:
  list    [{"number", "at", "actor", "action", "sentence", "target", "target_url", "reason", "outcome",
          "changes": {field: [before, after]}, "digest"}], the newest first;
          outcome is done, refused or failed
  verify  {"state", "intact", "entries", "number", "digest", "anchored", "problems": [{"number", "what"}],
          "unknown": [...]}; state is intact, tampered or unknown, and intact then true, false or null;
          number is the newest entry's, anchored that of the newest anchor
  mend-triggers  {"faults": [...]}, what was wrong with them
verify exits 0 when the log is intact, 2 when it isn't, 1 when that can't be known.
"""
LISTED = 100
FILTERS = ("actor", "action", "target", "outcome", "since", "until", "q")
# The state of a verdict: what JSON calls intact, the sentence, the exit code.
STATES: dict[str, tuple[bool | None, str, int]] = {
    "intact": (True, "intact", 0),
    "tampered": (False, "NOT what was written", 2),
    "unknown": (None, "as far as can be known what was written", 1),
}
_NOTED = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})")


class Command(TerminalCommand):
    help = "List what people did, and verify that the log is unchanged."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        actions = Actions(parser, EXAMPLES, dest="do")
        listed = actions.add("list", "entries, the newest first")
        listed.add_argument("--actor", help="who, exactly")
        listed.add_argument("--action", help="such as pipeline.pause, or pipeline for all of them")
        listed.add_argument("--target", help="what it was done to, exactly")
        listed.add_argument("--outcome", help="done, refused or failed")
        listed.add_argument("--since", help="a time such as 2026-01-15T10:30:00Z, or an age such as 24h")
        listed.add_argument("--until", help="the same")
        listed.add_argument("--q", metavar="TEXT", help="in the sentence, the actor or the reason")
        listed.add_argument("--limit", type=int, default=LISTED, help="at most so many (%(default)s)")
        verified = actions.add("verify", "every link of the chain")
        verified.add_argument("--noted", metavar="NUMBER:DIGEST", help="that verify printed earlier")

        mended = actions.add("mend-triggers", "make the log's triggers again")
        mended.add_argument("--reason", required=True, help="kept in the log")

    def handle(self, *_: Any, **options: Any) -> None:
        with database_told(options):
            if options["do"] == "list":
                self._list(options)
            elif options["do"] == "verify":
                self._verify(options)
            else:
                self._mend(options)

    def _list(self, options: dict[str, Any]) -> None:
        if options["limit"] < 1:
            raise CommandError(f"--limit: {options['limit']} is not 1 or more", returncode=2)
        wanted = filtered({name: options[name] or "" for name in FILTERS}, AuditEntry.objects.all())
        if wanted.problems:
            raise CommandError("; ".join(f"--{problem}" for problem in wanted.problems), returncode=2)
        shown = list(wanted.qs.order_by("-number")[: options["limit"]])
        if options["json"]:
            self.stdout.write(json.dumps([as_dict(entry) for entry in shown]))
            return
        for entry in shown:
            outcome = "" if entry.outcome == "done" else f"  [{entry.outcome}]"
            reason = f"  ({entry.reason})" if entry.reason else ""
            self.line(
                f"{entry.number:>6}  {entry.at:%Y-%m-%d %H:%M:%S}Z  "
                f"{entry.actor} {entry.sentence}{outcome}{reason}"
            )
        self.tell(f"{len(shown)} entries")

    def _mend(self, options: dict[str, Any]) -> None:
        faults = services.mend_triggers(actor=command_actor(), reason=options["reason"], now=timezone.now())
        if options["json"]:
            self.stdout.write(json.dumps({"faults": faults}))
            return
        for fault in faults:
            self.line(fault)
        self.tell("the triggers are as they have to be" if faults else "nothing was wrong with them")

    def _verify(self, options: dict[str, Any]) -> None:
        verdict = verify(noted=_noted(options["noted"]))
        intact, sentence, code = STATES[verdict.state]
        if options["json"]:
            self.stdout.write(
                json.dumps(
                    {
                        "state": verdict.state,
                        "intact": intact,
                        "entries": verdict.entries,
                        "number": verdict.number,
                        "digest": verdict.digest,
                        "anchored": verdict.anchored,
                        "problems": [{"number": one.number, "what": one.what} for one in verdict.problems],
                        "unknown": list(verdict.unknown),
                    }
                )
            )
        else:
            for problem in verdict.problems:
                self.line(problem.sentence)
            for unknown in verdict.unknown:
                self.line(f"not known: {unknown}")
            self.line(f"{verdict.entries} entries, {sentence}; newest {verdict.number}:{verdict.digest}")
        if code:
            sys.exit(code)


def as_dict(entry: AuditEntry) -> dict[str, Any]:
    """An entry as the JSON that `--help` describes."""
    return {
        "number": entry.number,
        "at": entry.at.isoformat(),
        "actor": entry.actor,
        "action": entry.action,
        "sentence": entry.sentence,
        "target": entry.target,
        "target_url": entry.target_url,
        "reason": entry.reason,
        "outcome": entry.outcome,
        "changes": entry.changes,
        "digest": entry.digest,
    }


def _noted(text: str | None) -> tuple[int, str] | None:
    if text is None:
        return None
    found = _NOTED.fullmatch(text)
    if found is None:
        raise CommandError(f"--noted: {text!r} is not NUMBER:DIGEST as verify prints it", returncode=2)
    return int(found[1]), found[2]
