"""The one sentence at the head of each page: whether anything is wrong, and what first. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from gdsconsole.formats import duration
from gdsconsole.kafka.cluster import Partition
from gdsconsole.names import shown
from topics.models import Alert, AlertState
from topics.services import TopicState


@dataclass(frozen=True, slots=True)
class Sentence:
    text: str
    tone: str = ""  # bad, warn, ok or nothing


@dataclass(frozen=True, slots=True)
class Firing:
    """How many alerts fire, how many of them nobody has, and the worst of those, with its rule."""

    total: int
    critical: int
    unheld: int
    worst: Alert | None


def about_alerts(firing: Firing, *, pending: int, rules: int, now: datetime) -> Sentence:
    if not firing.total:
        waiting = f"{pending} pending. " if pending else ""
        return Sentence(f"Nothing fires. {waiting}{_count(rules, 'rule')} on watch.", "ok")
    is_one = firing.total == 1
    text = f"{_count(firing.total, 'alert')} {'fires' if is_one else 'fire'}"
    if firing.critical:
        text += ", and it is critical" if is_one else f", {firing.critical} critical"
    if firing.worst is None:
        return Sentence(f"{text}. Somebody has {'it' if is_one else 'each of them'}.", "warn")
    age = duration(max(0.0, (now - firing.worst.started_at).total_seconds()))
    place = f"{firing.worst.rule.name} on {shown(firing.worst.subject)}, for {age}"
    if is_one:
        lead = "Nobody has it:"
    elif firing.unheld == firing.total:
        lead = "Nobody has any of them, the worst is"
    else:
        lead = f"Nobody has {firing.unheld} of them, the worst is"
    return Sentence(f"{text}. {lead} {place}.", "bad" if firing.critical else "warn")


def about_alert(alert: Alert, *, now: datetime) -> str:
    condition = f"{alert.metric_name} {alert.operator} {alert.threshold:g}"
    since = duration(max(0.0, ((alert.resolved_at or now) - alert.started_at).total_seconds()))
    if alert.state == AlertState.PENDING:
        return f"{condition} has held for {since}; it fires when that lasts {duration(alert.rule.for_s)}."
    if alert.state == AlertState.RESOLVED:
        why = f": {alert.resolved_reason}" if alert.resolved_reason else ""
        return f"{condition} held for {since} and is over{why}."
    return f"{condition} holds for {since}."


def about_rules(*, enabled: int, disabled: int, firing: int, metrics: int) -> Sentence:
    if not enabled and not disabled:
        return Sentence("Nothing is watched: there is no rule.", "warn")
    text = f"{_count(enabled, 'rule')} {'watches' if enabled == 1 else 'watch'} {_count(metrics, 'metric')}"
    off = f"; {disabled} disabled" if disabled else ""
    if not firing:
        return Sentence(f"{text}{off}. None fires now.")
    return Sentence(f"{text}{off}. {firing} {'fires' if firing == 1 else 'fire'} now.", "warn")


def about_topics(states: Sequence[TopicState], *, is_known: bool) -> Sentence:
    declared = [state for state in states if state.definition.enabled]
    if not is_known:
        return Sentence("What runs is unknown: the cluster does not answer.", "bad")
    if not declared:
        return Sentence("No topic is declared.", "warn")
    missing = [state for state in declared if state.state == "missing"]
    drifting = [state for state in declared if state.state == "drift"]
    failing = [state for state in declared if state.live is not None and state.failed_checks]
    unread = [state for state in declared if state.unread]
    if not missing and not drifting and not failing and not unread:
        return Sentence(_all_well(len(declared)), "ok")
    parts = []
    if missing:
        parts.append(f"{_named(missing)} {'is' if len(missing) == 1 else 'are'} not on the cluster")
    if drifting:
        parts.append(
            f"{_named(drifting)} {'differs' if len(drifting) == 1 else 'differ'} from what was declared"
        )
    if failing:
        parts.append(
            f"{_named(failing)} {'fails' if len(failing) == 1 else 'fail'} {_failed_points(failing)}"
        )
    if unread:
        parts.append(f"the cluster does not describe {_named(unread)}")
    text = "; ".join(parts)
    return Sentence(f"{text}.", "bad" if missing else "warn")


def about_partitions(partitions: Sequence[Partition]) -> Sentence | None:
    """What is wrong with a topic's partitions; None where nothing is."""
    leaderless = sum(1 for part in partitions if part.leader is None)
    if leaderless:
        lead = f"{_count(leaderless, 'partition')} {'has' if leaderless == 1 else 'have'} no leader"
        return Sentence(f"{lead}: nothing can be written there or read.", "bad")
    behind = sum(1 for part in partitions if part.is_under_replicated)
    if behind:
        lead = f"{_count(behind, 'partition')} {'misses' if behind == 1 else 'miss'} copies"
        return Sentence(f"{lead}: a broker is down or slow.", "warn")
    return None


def _all_well(count: int) -> str:
    if count == 1:
        return "The one declared topic runs as declared and passes every check."
    return f"All {count} topics run as declared and pass every check."


def _named(states: Sequence[TopicState]) -> str:
    return states[0].definition.name if len(states) == 1 else f"{len(states)} topics"


def _failed_points(states: Sequence[TopicState]) -> str:
    """The points of the checklist that fail, those that most topics fail first."""
    points = Counter(check.name for state in states for check in state.failed_checks)
    named = [name for name, _ in points.most_common(2)]
    more = len(points) - len(named)
    return f"{' and '.join(named)}{f' and {more} more' if more else ''}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
