"""`manage.py topics`: definitions against the cluster."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from gdsconsole.audit import payload_views
from gdsconsole.audit.actors import command_actor
from gdsconsole.cli.subcommands import Actions
from gdsconsole.cli.terminal import TerminalCommand
from gdsconsole.database.reporting import database_told
from gdsconsole.kafka.errors import KafkaUnavailable, WrongClientConfig
from gdsconsole.web import links
from topics.definitions import services
from topics.definitions.plan import Kind, Plan, PlanStep

EXAMPLES = """
examples:
  manage.py topics plan                  what apply would change; exit 0 nothing, 2 something
  manage.py topics apply                 make the cluster as declared; never deletes a topic
  manage.py topics drift --json          declared, last applied and live, where they differ
  manage.py topics check                 the streaming guide's topic checklist
  manage.py topics export > topics.json
  manage.py topics import topics.json    a topic that is not in the file stays as it is

JSON:
  plan    {"changes": [{"topic", "kind", "before", "after", "reason"}], "adjustments": [{"topic", "name",
          "declared", "applied", "reason"}]}; kind is create, add partitions, alter config or refused
  apply   the same, each change with "error": null when it was done
  drift   {"drift": [{"topic", "name", "declared", "applied", "live", "verdict"}], "undeclared": [topic]}
  check   [{"topic", "check", "passed", "detail"}]; passed is null where nobody knows
  export  {"version": 1, "topics": [...]}, what import reads
  import  {"added": [topic], "changed": [...], "unchanged": [...], "not mentioned": [...]}
"""
SIGNS = {Kind.CREATE: "+", Kind.ADD_PARTITIONS: "+", Kind.ALTER_CONFIG: "~", Kind.REFUSED: "!"}
DIFFERS = 2


class Command(TerminalCommand):
    help = "Plan, apply, compare, check, export and import the declared topics."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        actions = Actions(parser, EXAMPLES)
        actions.add("plan", "show what apply would change")
        actions.add("apply", "change the cluster to what is declared")
        actions.add("drift", "show where declared, last applied and live differ")
        actions.add("check", "go through the topic checklist")
        actions.add("export", "write the definitions as JSON")
        action = actions.add("import", "declare every topic of an export")
        action.add_argument("file", metavar="FILE", help="- is standard input")

    def handle(self, *_: Any, **options: Any) -> None:
        do = {
            "plan": self._plan,
            "apply": self._apply,
            "drift": self._drift,
            "check": self._check,
            "export": self._export,
            "import": self._import,
        }[options["action"]]
        try:
            with database_told(options):
                do(options)
        except (KafkaUnavailable, WrongClientConfig) as error:
            raise CommandError(str(error)) from error
        except services.WrongDefinitions as error:
            raise CommandError(f"{options['file']}: nothing was imported\n{error}") from error

    def _plan(self, options: dict[str, Any]) -> None:
        plan = services.plan_topics(services.read_cluster())
        if options["json"]:
            self._json({"changes": [_change(change) for change in plan.changes], **_adjustments(plan)})
        else:
            self._adjusted(plan)
            for change in plan.changes:
                self.line(_line(change))
            count = len(plan.changes)
            self.line(
                f"{count} change{'s' if count != 1 else ''}, nothing applied"
                if count
                else f"the cluster is as declared: {len(plan.wanted)} topics"
            )
        if not plan.is_clean:
            sys.exit(DIFFERS)

    def _apply(self, options: dict[str, Any]) -> None:
        live = services.read_cluster()
        plan = services.plan_topics(live)
        if options["json"]:
            done = services.apply_topics(plan, live, actor=command_actor(), now=timezone.now())
            changes = [{**_change(outcome.change), "error": outcome.error} for outcome in done]
            self._json({"changes": changes, **_adjustments(plan)})
        else:
            self._adjusted(plan)
            done = services.apply_topics(
                plan, live, actor=command_actor(), now=timezone.now(), report=self._report
            )
            if plan.is_clean:
                self.line(f"nothing to do: {len(plan.wanted)} topics are as declared")
        failed = [outcome for outcome in done if outcome.error is not None]
        if any(outcome.change.kind is not Kind.REFUSED for outcome in failed):
            raise CommandError(f"{len(failed)} of {len(done)} changes could not be made")
        if failed:
            sys.exit(DIFFERS)

    def _report(self, outcome: services.Applied) -> None:
        said = _line(outcome.change)
        if outcome.error is not None and outcome.change.kind is not Kind.REFUSED:
            self.tell(said)
            self.tell(f"  failed: {outcome.error}")
        else:
            self.line(said)

    def _drift(self, options: dict[str, Any]) -> None:
        live = services.read_cluster()
        states = services.topic_states(live)
        drifts = [drift for state in states for drift in state.drifts]
        missing = [state.definition.name for state in states if state.state == "missing"]
        undeclared = services.undeclared_topics(live)
        if options["json"]:
            rows = [{**asdict(drift), "verdict": str(drift.verdict)} for drift in drifts]
            self._json({"drift": rows, "missing": missing, "undeclared": undeclared})
        else:
            for drift in drifts:
                said = ", ".join(
                    f"{side} {value if value is not None else 'nothing'}"
                    for side, value in (
                        ("declared", drift.declared),
                        ("applied", drift.applied),
                        ("live", drift.live),
                    )
                )
                self.line(f"{drift.topic}  {drift.name}: {said}: {drift.verdict}")
            for name in missing:
                self.line(f"{name}  is declared and not on the cluster")
            for name in undeclared:
                self.line(f"{name}  is on the cluster and not declared")
            if not drifts and not missing and not undeclared:
                self.line(f"no drift: {len(states)} topics are as declared")
        if drifts or missing:
            sys.exit(DIFFERS)

    def _check(self, options: dict[str, Any]) -> None:
        states = services.topic_states(services.read_cluster())
        rows = [
            {
                "topic": state.definition.name,
                "check": check.name,
                "passed": check.passed,
                "detail": check.detail,
            }
            for state in states
            if state.definition.enabled
            for check in state.checks
        ]
        failed = [row for row in rows if not row["passed"]]
        if options["json"]:
            self._json(rows)
        else:
            for row in rows:
                mark = "ok  " if row["passed"] else "FAIL"
                self.line(f"{mark}  {row['topic']:<32} {row['check']:<28} {row['detail']}")
            self.line(f"{len(rows) - len(failed)} of {len(rows)} checks passed")
        if failed:
            sys.exit(DIFFERS)

    def _export(self, options: dict[str, Any]) -> None:
        exported = services.export_topics()
        payload_views.exported(
            actor=command_actor(),
            sentence=f"exported {len(exported['topics'])} topic definitions",
            target="topic definitions",
            target_url=links.topics(),
            now=timezone.now(),
        )
        self.stdout.write(json.dumps(exported, indent=2))

    def _import(self, options: dict[str, Any]) -> None:
        outcome = services.import_topics(_read(options["file"]), actor=command_actor(), now=timezone.now())
        if options["json"]:
            self._json(outcome)
            return
        for what, names in outcome.items():
            for name in names if what != "unchanged" else ():
                self.line(f"{what}: {name}")
        counted = ", ".join(f"{len(names)} {what}" for what, names in outcome.items())
        self.line(f"{counted}; `manage.py topics plan` shows what that means for the cluster")

    def _adjusted(self, plan: Plan) -> None:
        for adjustment in plan.adjustments:
            self.tell(f"adjusted: {adjustment}")

    def _json(self, result: Any) -> None:
        self.stdout.write(json.dumps(result))


def _line(change: PlanStep) -> str:
    if change.kind is Kind.CREATE:
        detail = ", ".join(f"{name} {value}" for name, value in change.after.items())
    else:
        detail = ", ".join(f"{name} {change.before[name]} -> {value}" for name, value in change.after.items())
    refused = f": refused, {change.reason}" if change.reason else ""
    return f"{SIGNS[change.kind]} {change.kind}  {change.topic}  {detail}{refused}"


def _change(change: PlanStep) -> dict[str, Any]:
    return {**asdict(change), "kind": str(change.kind)}


def _adjustments(plan: Plan) -> Mapping[str, Any]:
    return {"adjustments": [asdict(adjustment) for adjustment in plan.adjustments]}


def _read(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file}: {error}") from error
