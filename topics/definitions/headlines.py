"""The headlines of topics: whether they run as declared, and what first. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from gdsconsole.kafka.cluster.metadata import Partition
from gdsconsole.text.formats import plural
from gdsconsole.text.headline import Headline
from topics.definitions.state import TopicState


def about_topics(states: Sequence[TopicState], *, is_known: bool) -> Headline:
    declared = [state for state in states if state.definition.enabled]
    if not is_known:
        return Headline("What runs is unknown: the cluster does not answer.", "bad")
    if not declared:
        return Headline("No topic is declared.", "warn")
    missing = [state for state in declared if state.state == "missing"]
    drifting = [state for state in declared if state.state == "drift"]
    failing = [state for state in declared if state.live is not None and state.failed_checks]
    unread = [state for state in declared if state.unread]
    if not missing and not drifting and not failing and not unread:
        return Headline(_all_well(len(declared)), "ok")
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
    return Headline(f"{text}.", "bad" if missing else "warn")


def about_partitions(partitions: Sequence[Partition]) -> Headline | None:
    """What is wrong with a topic's partitions; None where nothing is."""
    leaderless = sum(1 for part in partitions if part.leader is None)
    if leaderless:
        lead = f"{plural(leaderless, 'partition')} {'has' if leaderless == 1 else 'have'} no leader"
        return Headline(f"{lead}: nothing can be written there or read.", "bad")
    behind = sum(1 for part in partitions if part.is_under_replicated)
    if behind:
        lead = f"{plural(behind, 'partition')} {'misses' if behind == 1 else 'miss'} replicas"
        return Headline(f"{lead}: a broker is down or slow.", "warn")
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
