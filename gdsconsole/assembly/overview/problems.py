"""The sentence above the page: what is wrong, the worst first, and where it is explained. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gdsconsole.assembly.overview.model import (
    BAD,
    OK,
    UNKNOWN,
    WARN,
    Alerts,
    Brokers,
    Comparison,
    DeadLetters,
    Group,
    Lag,
    Named,
    PipelineReading,
    Readings,
    Topic,
)
from gdsconsole.text import formats
from gdsconsole.text.names import shown
from gdsconsole.web import links

_ORDER = (BAD, WARN, UNKNOWN)
_GOOD_LAG = frozenset({"ok", "healthy", "empty"})
_BAD_LAG = frozenset({"stalled", "stopped"})
# More names than this are a number.
NAMED = 3


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong or unknown, as a clause of the sentence, and the page that explains it."""

    tone: str
    text: str
    href: str
    begins_with_name: bool = False

    @property
    def opening(self) -> str:
        """The clause where it begins the sentence; a name keeps its letters there too."""
        return self.text if self.begins_with_name else self.text[:1].upper() + self.text[1:]


def problems(readings: Readings) -> list[Problem]:
    """What is wrong, the worst first."""
    sampled = [
        *of_brokers(readings.brokers),
        *of_topics(readings.comparison, readings.brokers),
        *of_traffic(readings.metrics, readings.instances),
        *of_lag(readings.lag),
    ]
    if not readings.live:
        # Said once, with its cause, in place of each figure that it takes away.
        sampled = [problem for problem in sampled if problem.tone != UNKNOWN]
        sampled.append(Problem(WARN, "Redis does not answer", ""))
    found = [
        *of_alerts(readings.alerts),
        *of_pipelines(readings.pipelines),
        *sampled,
        *of_dead_letters(readings.dead_letters),
    ]
    return sorted(found, key=lambda problem: _ORDER.index(problem.tone))


def tone_of(found: Sequence[Problem]) -> str:
    """The tone of the worst of them."""
    return min((problem.tone for problem in found), key=_ORDER.index, default=OK)


def calm(readings: Readings) -> str:
    """The sentence when nothing is wrong."""
    parts = ["no alert fires"]
    if readings.brokers and readings.brokers.live is not None:
        parts.append(f"{many(readings.brokers.live, 'broker')} up")
    if readings.lag and readings.lag.groups:
        parts.append(f"{many(len(readings.lag.groups), 'group')} keeping up")
    if readings.rate_in is not None:
        coming = f"{formats.short_number(readings.rate_in)} messages/s" if readings.rate_in else "nothing"
        parts.append(f"{coming} coming in")
    return f"All is well: {listed(parts)}."


def of_alerts(alerts: Alerts) -> Iterable[Problem]:
    if alerts.firing:
        critical = f" ({alerts.critical} critical)" if 0 < alerts.critical < alerts.firing else ""
        kind = "critical alert" if alerts.critical == alerts.firing else "alert"
        text = f"{many(alerts.firing, kind)} firing{critical}"
        yield Problem(BAD if alerts.critical else WARN, text, links.alerts(state="firing"))


def of_brokers(brokers: Brokers | None) -> Iterable[Problem]:
    if brokers is None:
        yield Problem(UNKNOWN, "the brokers are unknown", links.brokers())
        return
    if brokers.live is None:
        yield Problem(BAD, "the Kafka cluster does not answer", links.brokers())
        return
    if brokers.missing:
        are = "is" if brokers.missing == 1 else "are"
        text = f"{brokers.missing} of {many(brokers.expected or 0, 'broker')} {are} down"
        yield Problem(BAD, text, links.brokers())
    if brokers.leaderless:
        yield Problem(BAD, f"{many(brokers.leaderless, 'partition')} without a leader", links.brokers())
    if brokers.under_replicated:
        text = f"{many(brokers.under_replicated, 'partition')} under-replicated"
        yield Problem(BAD if brokers.missing else WARN, text, links.brokers())


def of_topics(comparison: Comparison | None, brokers: Brokers | None) -> Iterable[Problem]:
    """Declared topics that are not there, differ from their definition, or fail a check."""
    if comparison is None:
        if brokers is not None and brokers.live is not None:
            yield Problem(UNKNOWN, "whether the topics run as declared is unknown", _topics())
        return
    for named, tone, state, one, several in (
        (comparison.missing, BAD, "missing", "is not on the cluster", "are not on the cluster"),
        (comparison.drift, WARN, "drift", "differs from its definition", "differ from their definitions"),
        (comparison.failing, WARN, "checks", "fails a production check", "fail production checks"),
    ):
        if named.count:
            yield Problem(
                tone, f"{_topics_named(named)} {one if named.count == 1 else several}", _topics(state)
            )
    # Of a declared one that is missing the first clause tells; an undeclared one nobody else would.
    undeclared = [name for name in comparison.absent if name not in comparison.missing.names]
    if undeclared and comparison.missing.count <= len(comparison.missing.names):
        text = f"{_topics_named(Named(len(undeclared), undeclared))}, which the console needs,"
        yield Problem(BAD, f"{text} {'is' if len(undeclared) == 1 else 'are'} not on the cluster", _topics())


def of_traffic(topics: Sequence[Topic], instances: int | None) -> Iterable[Problem]:
    """Nothing comes in: known to be so by the topics' rates and by the metrics of the last minute."""
    if instances != 0 or not topics or any(topic.rate_in != 0 for topic in topics):
        return
    where = f"topic {topics[0].name}" if len(topics) == 1 else f"any of {len(topics)} topics"
    yield Problem(WARN, f"no metric has come into {where} for a minute", _topics())


def _topics(state: str = "") -> str:
    return links.topics(state=state) if state else links.topics()


def _topics_named(named: Named) -> str:
    return f"topic {named.names[0]}" if named.count == 1 else f"{named.count:,} topics"


def of_pipelines(pipelines: Sequence[PipelineReading]) -> Iterable[Problem]:
    by_state: dict[str, list[PipelineReading]] = {}
    for pipeline in pipelines:
        by_state.setdefault(_state_of(pipeline), []).append(pipeline)
    for state, tone, one, several in (
        ("halted", BAD, "is halted", "are halted"),
        ("absent", BAD, "does not run", "do not run"),
        ("database", WARN, "waits for the database", "wait for the database"),
        ("retrying", WARN, "is retrying", "are retrying"),
        ("paused", WARN, "is paused", "are paused"),
    ):
        found = by_state.get(state, [])
        if found:
            text = f"{_named('pipeline', found)} {one if len(found) == 1 else several}"
            yield Problem(tone, text, links.pipelines())
    for pipeline in by_state.get("partial", []):
        text = f"pipeline {pipeline.name} runs {pipeline.running} of {pipeline.wanted} consumers"
        yield Problem(WARN, text, links.pipelines())


def _state_of(pipeline: PipelineReading) -> str:
    """A pipeline's state, where one that is starting is told apart by how much of it runs."""
    if pipeline.state == "retrying" and "the database" in pipeline.reason:
        return "database"
    if pipeline.state != "starting":
        return pipeline.state
    if pipeline.running >= pipeline.wanted:
        return "running"
    return "partial" if pipeline.running else "absent"


def of_lag(lag: Lag | None) -> Iterable[Problem]:
    if lag is None:
        yield Problem(UNKNOWN, "lag is unknown", links.lag())
        return
    for group in lag.groups:
        if group_tone(group) == BAD:
            yield _of_group(BAD, group, f"is {_status(group)}{_behind(group, ', {} behind')}")
    late = [group for group in lag.groups if group_tone(group) == WARN]
    if len(late) > NAMED:
        text = f"{len(late)} groups are behind, {shown(late[0].name)} furthest{_behind(late[0], ' by {}')}"
        yield Problem(WARN, text, links.lag())
    else:
        for group in late:
            if _status(group) == "rewound":
                yield _of_group(WARN, group, f"was rewound{_behind(group, ', {} behind')}")
            else:
                yield _of_group(WARN, group, f"is behind{_behind(group, ' by {}')}")
    unknown = [group for group in lag.groups if group_tone(group) == UNKNOWN]
    if len(unknown) == 1:
        name = unknown[0].name
        yield Problem(UNKNOWN, f"the lag of {shown(name)} is unknown", _page(name))
    elif unknown:
        yield Problem(UNKNOWN, f"the lag of {len(unknown)} groups is unknown", links.lag())


def _of_group(tone: str, group: Group, what: str) -> Problem:
    return Problem(tone, f"{shown(group.name)} {what}", _page(group.name), begins_with_name=True)


def _page(group: str) -> str:
    return links.group(group)


def group_tone(group: Group) -> str:
    """What a group's verdict means for its reader."""
    status = _status(group)
    if status in _GOOD_LAG:
        return OK
    if status in _BAD_LAG:
        return BAD
    return UNKNOWN if status == UNKNOWN else WARN


def _status(group: Group) -> str:
    return (group.status or UNKNOWN).lower()


def _behind(group: Group, words: str) -> str:
    return words.format(formats.short_number(group.total_lag)) if group.total_lag else ""


def of_dead_letters(letters: DeadLetters) -> Iterable[Problem]:
    if letters.waiting:
        causes = "one cause" if letters.causes == 1 else f"{letters.causes} causes"
        yield Problem(WARN, f"{many(letters.waiting, 'dead letter')} from {causes}", links.dead_letters())


def many(count: int, noun: str) -> str:
    """`1 consumer`, `2,000 consumers`."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"


def listed(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _named(noun: str, found: Sequence[PipelineReading]) -> str:
    if len(found) > NAMED:
        return many(len(found), noun)
    return f"{noun if len(found) == 1 else noun + 's'} {listed([one.name for one in found])}"
