"""How the declared topics stand against the cluster, told to open pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from typing import Any

from django.conf import settings

from gdsconsole.live.publish import publish
from topics import naming
from topics.alerting.outbox import alert_topics, topic_for
from topics.definitions.services.topics import read_cluster, topic_states
from topics.definitions.state import TopicState
from topics.models import TopicDefinition

# A page names a few topics; of the others it tells how many there are.
NAMED = 5


def compare_topics() -> dict[str, Any]:
    """Compare every declaration with the cluster, and publish what differs. Raises `KafkaUnavailable`."""
    live = read_cluster()
    summary = summarize(topic_states(live), needed=needed_topics(), there=live.names)
    publish("topics.compared", "declared", summary)
    return summary


def needed_topics() -> set[str]:
    """What the console reads and writes, declared or not: metrics, their dead letters, alert events."""
    metrics = {topic.name for topic in TopicDefinition.objects.metrics()}
    events = topic_for(settings.GDS_ENVIRONMENT, alert_topics())
    return metrics | {naming.dead_letter_topic(name) for name in metrics} | {events}


def summarize(states: Sequence[TopicState], *, needed: Set[str], there: Set[str]) -> dict[str, Any]:
    """The enabled topics that are missing, that differ, and that fail a check; each in one of them. Pure.

    `absent` are all the topics that the console needs and the cluster does not have.
    """
    enabled = [state for state in states if state.definition.enabled]
    return {
        "declared": len(enabled),
        "absent": sorted(needed - there),
        "missing": _told(state for state in enabled if state.state == "missing"),
        "drift": _told(state for state in enabled if state.state == "drift"),
        "failing": _told(state for state in enabled if state.state == "in sync" and state.failed_checks),
    }


def _told(states: Iterable[TopicState]) -> dict[str, Any]:
    names = sorted(state.definition.name for state in states)
    return {"count": len(names), "names": names[:NAMED]}
