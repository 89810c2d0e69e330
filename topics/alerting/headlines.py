"""The headlines of alerts and rules: whether anything is wrong, and what first. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from gdsconsole.text.formats import duration, plural
from gdsconsole.text.headline import Headline
from gdsconsole.text.names import shown
from topics.models import Alert, AlertState


@dataclass(frozen=True, slots=True)
class FiringCounts:
    """How many alerts fire, how many of them nobody has acknowledged, and the worst of those."""

    total: int
    critical: int
    unacknowledged: int
    worst: Alert | None


def about_alerts(firing: FiringCounts, *, pending: int, rules: int, now: datetime) -> Headline:
    if not firing.total:
        waiting = f"{pending} pending. " if pending else ""
        return Headline(f"Nothing is firing. {waiting}{plural(rules, 'rule')} evaluated.", "ok")
    is_one = firing.total == 1
    text = f"{plural(firing.total, 'alert')} firing"
    if firing.critical:
        text += ", and it is critical" if is_one else f", {firing.critical} critical"
    if firing.worst is None:
        return Headline(f"{text}. {'It is' if is_one else 'All are'} acknowledged.", "warn")
    age = duration(max(0.0, (now - firing.worst.started_at).total_seconds()))
    place = f"{firing.worst.rule.name} on {shown(firing.worst.subject)}, for {age}"
    if is_one:
        lead = "Not acknowledged:"
    elif firing.unacknowledged == firing.total:
        lead = "None is acknowledged, the worst is"
    else:
        are = "is" if firing.unacknowledged == 1 else "are"
        lead = f"{firing.unacknowledged} {are} not acknowledged, the worst is"
    return Headline(f"{text}. {lead} {place}.", "bad" if firing.critical else "warn")


def about_alert(alert: Alert, *, now: datetime) -> str:
    condition = f"{alert.metric_name} {alert.operator} {alert.threshold:g}"
    since = duration(max(0.0, ((alert.resolved_at or now) - alert.started_at).total_seconds()))
    if alert.state == AlertState.PENDING:
        return f"{condition} has held for {since}; it fires when that lasts {duration(alert.rule.for_s)}."
    if alert.state == AlertState.RESOLVED:
        why = f": {alert.resolved_reason}" if alert.resolved_reason else ""
        return f"{condition} held for {since} and is over{why}."
    return f"{condition} holds for {since}."


def about_rules(*, enabled: int, disabled: int, firing: int, metrics: int) -> Headline:
    if not enabled and not disabled:
        return Headline("Nothing is evaluated: there is no rule.", "warn")
    text = (
        f"{plural(enabled, 'rule')} {'evaluates' if enabled == 1 else 'evaluate'} {plural(metrics, 'metric')}"
    )
    off = f"; {disabled} disabled" if disabled else ""
    if not firing:
        return Headline(f"{text}{off}. None is firing.")
    return Headline(f"{text}{off}. {firing} firing.", "warn")
