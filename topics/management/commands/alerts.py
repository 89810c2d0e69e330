"""`manage.py alerts`: what is firing, and who acknowledged it."""

from __future__ import annotations

import json
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from gdsconsole.audit.actors import command_actor
from gdsconsole.cli.subcommands import Actions
from gdsconsole.cli.terminal import TerminalCommand
from gdsconsole.database.reporting import database_told
from topics.alerting import services
from topics.models import Alert, AlertState

EXAMPLES = """
examples:
  manage.py alerts list
  manage.py alerts list --state firing --json
  manage.py alerts ack 17 --user operator --note "disk ordered"

JSON: list gives an array, ack one object, of
  {"id", "rule", "severity", "state", "subject", "labels", "metric_name", "operator", "threshold", "value",
   "last_value", "started_at", "fired_at", "resolved_at", "acknowledged_by", "acknowledged_at", "summary",
   "record": {"topic", "partition", "offset"} or null}
Times are RFC 3339 in UTC, or null. `value` is the one it fired by, `last_value` the newest. The worst come
first: firing before pending before resolved, then by severity, then the longest open.
"""
NEWEST = 200


class Command(TerminalCommand):
    help = "List alerts, and acknowledge one."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        actions = Actions(parser, EXAMPLES)
        listed = actions.add("list", "alerts, the worst first")
        listed.add_argument(
            "--state", choices=AlertState.values, help="only these; default all, resolved ones the newest 200"
        )
        ack = actions.add("ack", "acknowledge an alert")
        ack.add_argument("id", type=int, metavar="ID")
        ack.add_argument("--user", help="who (default: the only superuser)")
        ack.add_argument("--note", default="", help="what they do about it")

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            with database_told(options):
                if options["action"] == "list":
                    self._list(options["state"], as_json=options["json"])
                else:
                    self._ack(options)
        except services.NotAcknowledgeable as error:
            raise CommandError(str(error)) from error

    def _list(self, state: str | None, *, as_json: bool) -> None:
        rows = Alert.objects.worst_first().select_related("rule", "acknowledged_by")
        if state:
            rows = rows.filter(state=state)
        resolved = Alert.objects.filter(state=AlertState.RESOLVED).order_by("-resolved_at", "-pk")
        kept = set(resolved.values_list("pk", flat=True)[:NEWEST])
        shown = list(rows.exclude(state=AlertState.RESOLVED))
        if state in (None, AlertState.RESOLVED):
            shown += list(rows.filter(pk__in=kept))
        if as_json:
            self.stdout.write(json.dumps([as_dict(alert) for alert in shown]))
            return
        for alert in shown:
            taken = f"  ack {alert.acknowledged_by}" if alert.acknowledged_at else ""
            self.line(
                f"{alert.pk:>6}  {alert.state:<8}  {alert.severity:<8}  "
                f"{alert.started_at:%Y-%m-%d %H:%M:%S}Z  {alert.summary}  ({alert.rule.name}){taken}"
            )
        self.tell(f"{len(shown)} alerts")

    def _ack(self, options: dict[str, Any]) -> None:
        alert = Alert.objects.select_related("rule").filter(pk=options["id"]).first()
        if alert is None:
            raise CommandError(f"there is no alert {options['id']}")
        actor = _actor(options["user"])
        services.acknowledge_alert(
            alert=alert, actor=actor, now=timezone.now(), note=options["note"], asked_by=command_actor()
        )
        if options["json"]:
            self.stdout.write(json.dumps(as_dict(alert)))
        else:
            self.line(f"{actor} has alert {alert.pk}: {alert.summary}")


def _actor(username: str | None) -> User:
    if username is not None:
        found = User.objects.filter(username=username).first()
        if found is None:
            raise CommandError(f"--user: there is no user {username!r}", returncode=2)
        return found
    # Whoever may run commands on this machine acts for the one user who may do everything.
    superusers = list(User.objects.filter(is_superuser=True)[:2]) or list(
        User.objects.filter(username="admin")
    )
    if len(superusers) != 1:
        raise CommandError("--user: say who acknowledges it", returncode=2)
    return superusers[0]


def as_dict(alert: Alert) -> dict[str, Any]:
    """An alert as the JSON that `--help` describes."""
    return {
        "id": alert.pk,
        "rule": alert.rule.name,
        "severity": alert.severity,
        "state": alert.state,
        "subject": alert.subject,
        "labels": alert.labels,
        "metric_name": alert.metric_name,
        "operator": alert.operator,
        "threshold": alert.threshold,
        "value": alert.value,
        "last_value": alert.last_value,
        "started_at": _time(alert.started_at),
        "fired_at": _time(alert.fired_at),
        "resolved_at": _time(alert.resolved_at),
        "acknowledged_by": str(alert.acknowledged_by) if alert.acknowledged_by else None,
        "acknowledged_at": _time(alert.acknowledged_at),
        "summary": alert.summary,
        "record": {"topic": alert.topic, "partition": alert.partition, "offset": alert.offset}
        if alert.topic is not None
        else None,
    }


def _time(at: Any) -> str | None:
    return at.isoformat() if at is not None else None
