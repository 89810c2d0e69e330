"""The counts in the navigation and the cluster's state in the top line, read for every page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from gdsconsole.assembly.overview import problems, selectors
from gdsconsole.assembly.overview.model import Alerts, Brokers, Comparison, Lag, PipelineReading
from gdsconsole.assembly.overview.problems import Problem
from gdsconsole.live.snapshots import latest_of
from gdsconsole.text import formats

PUBLISHED = ("pipeline.stats", "lag.sampled", "topics.compared", "brokers.sampled")


@dataclass(frozen=True, slots=True)
class Count:
    """What stands behind an entry; an empty text is nothing to see to. `title` says it in words."""

    text: str
    tone: str
    title: str


@dataclass(frozen=True, slots=True)
class FrameState:
    """`cluster` is None for somebody who may not see the brokers."""

    counts: Mapping[str, Count]
    cluster: Count | None


def read(has_permission: Callable[[str], bool], *, now: datetime) -> FrameState:
    """As much of the state as somebody with these permissions may see."""
    published = latest_of(PUBLISHED)
    epoch = now.timestamp()
    brokers = selectors.brokers_of(published["brokers.sampled"], now=epoch)
    sources: Mapping[str, tuple[str, Callable[[], Count]]] = {
        "alerts": ("topics.view_alert", lambda: of_alerts(selectors.read_alerts())),
        "dead_letters": ("dlq.view_deadletter", lambda: of_letters(selectors.read_dead_letters().waiting)),
        "pipelines": (
            "pipelines.view_pipeline",
            lambda: of_pipelines(selectors.read_pipelines(published["pipeline.stats"], now=now)),
        ),
        "lag": (
            "lag.view_groupsample",
            lambda: of_lag(selectors.lag_of(published["lag.sampled"], now=epoch)),
        ),
        "topics": (
            "topics.view_topicdefinition",
            lambda: of_topics(selectors.comparison_of(published["topics.compared"], now=epoch)),
        ),
        "brokers": ("lag.view_brokersample", lambda: of_brokers(brokers)),
    }
    counts = {name: count() for name, (permission, count) in sources.items() if has_permission(permission)}
    return FrameState(counts, of_cluster(brokers) if "brokers" in counts else None)


def of_alerts(alerts: Alerts) -> Count:
    return _count(alerts.firing, "bad" if alerts.critical else "warn", "firing")


def of_letters(waiting: int) -> Count:
    return _count(waiting, "warn", "waiting for a decision")


def of_pipelines(pipelines: Sequence[PipelineReading]) -> Count:
    wrong = [pipeline for pipeline in pipelines if any(problems.of_pipelines([pipeline]))]
    return _of_problems(len(wrong), list(problems.of_pipelines(pipelines)))


def of_lag(lag: Lag | None) -> Count:
    if lag is None:
        return Count("?", "unknown", "lag is unknown")
    late = [group for group in lag.groups if problems.group_tone(group) in ("bad", "warn")]
    return _of_problems(len(late), list(problems.of_lag(lag)))


def of_topics(comparison: Comparison | None) -> Count:
    if comparison is None:
        return Count("?", "unknown", "whether the topics run as declared is unknown")
    number = comparison.missing.count + comparison.drift.count + comparison.failing.count
    return _of_problems(number, list(problems.of_topics(comparison, None)))


def of_brokers(brokers: Brokers | None) -> Count:
    if brokers is None:
        return Count("?", "unknown", "the brokers are unknown")
    if brokers.live is None:
        return Count("!", "bad", "the cluster does not answer")
    return _count(brokers.missing, "bad", "down")


def of_cluster(brokers: Brokers | None) -> Count:
    """The chip in the top line: `3/3 brokers`, in the tone of the worst that is known."""
    found = list(problems.of_brokers(brokers))
    title = "; ".join(problem.text for problem in found) or "every broker is up, every partition replicated"
    if brokers is None:
        return Count("cluster unknown", "unknown", title)
    if brokers.live is None:
        return Count("cluster down", "bad", title)
    return Count(f"{brokers.live}/{brokers.expected or brokers.live} brokers", problems.tone_of(found), title)


def _of_problems(number: int, found: Sequence[Problem]) -> Count:
    tone = "bad" if any(problem.tone == "bad" for problem in found) else "warn"
    return Count(str(number) if number else "", tone, "; ".join(problem.text for problem in found))


def _count(number: int, tone: str, noun: str) -> Count:
    return Count(formats.short_number(number) if number > 0 else "", tone, f"{number:,} {noun}")
