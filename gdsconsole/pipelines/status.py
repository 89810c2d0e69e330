"""Whether a pipeline reads, and what keeps it from reading where it runs all the same. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

# How old what was published may be before nothing is known by it: brokers and lag are sampled every 5 s,
# topics compared every 15 s.
SAMPLE_FRESH_S = 20.0
COMPARISON_FRESH_S = 50.0
# Steps of a trend without a record, beside messages that wait, before a pipeline is said to stand still.
STILL_STEPS = 3

Snapshot = Mapping[str, Mapping[str, Any]]


class Kind(Enum):
    """The first ones need somebody, the worst first."""

    NO_DATABASE = "no database"
    NO_BROKERS = "no brokers"
    NO_TOPIC = "no topic"
    STILL = "still"
    NO_PARTITIONS = "no partitions"
    UNKNOWN = "unknown"
    IDLE = "idle"
    READS = "reads"
    OFF = "off"
    """It does not run, and its state says why."""


@dataclass(frozen=True, slots=True)
class PipelineStatus:
    """`text` is a clause about the pipeline: it ... ."""

    kind: Kind
    text: str

    @property
    def label(self) -> str:
        """In place of "running", where that would say too much; else empty."""
        return _LABELS.get(self.kind, ("", ""))[0]

    @property
    def tone(self) -> str:
        return _LABELS.get(self.kind, ("", ""))[1]


_LABELS = {
    Kind.NO_DATABASE: ("no database", "warn"),
    Kind.NO_BROKERS: ("no brokers", "bad"),
    Kind.NO_TOPIC: ("topic missing", "bad"),
    Kind.STILL: ("reads nothing", "warn"),
    Kind.NO_PARTITIONS: ("no partition", "warn"),
}


@dataclass(frozen=True, slots=True)
class ClusterCondition:
    """The cluster as it was sampled last; None is unknown. `absent`: topics that are not on it."""

    brokers_answer: bool | None = None
    absent: frozenset[str] | None = None


def around_of(brokers: Snapshot | None, compared: Snapshot | None, *, now: float) -> ClusterCondition:
    sample = _fresh(brokers, "cluster", now, SAMPLE_FRESH_S)
    comparison = _fresh(compared, "declared", now, COMPARISON_FRESH_S)
    absent = comparison.get("absent") if comparison is not None else None
    return ClusterCondition(
        brokers_answer=bool(sample.get("brokers")) if sample is not None else None,
        absent=frozenset(absent) if isinstance(absent, list) else None,
    )


def lag_of(sampled: Snapshot | None, group: str, *, now: float) -> float | None:
    """The group's lag as it was sampled last, unknown where that is long ago."""
    sample = _fresh(sampled, group, now, SAMPLE_FRESH_S)
    return sample.get("total_lag") if sample is not None else None


def pipeline_status(
    *,
    state: str,
    running: int,
    partitions: int,
    reads: Collection[str],
    rate: float | None,
    trend: Sequence[float | None],
    lag: float | None,
    around: ClusterCondition,
    reason: str = "",
) -> PipelineStatus:
    """`running` consumers hold `partitions` of the topics that it `reads`; `trend` is of its rate,
    `reason` is told with its state."""
    if state not in ("running", "starting", "retrying") or not running:
        return PipelineStatus(Kind.OFF, "does not run")
    if state == "retrying" and "the database" in reason:
        return PipelineStatus(Kind.NO_DATABASE, "is retrying: the database takes no writes")
    if around.brokers_answer is False:
        return PipelineStatus(Kind.NO_BROKERS, "is retrying: no broker answers")
    missing = sorted(set(reads) & (around.absent or frozenset()))
    if missing and len(missing) == len(set(reads)):
        are = "is" if len(missing) == 1 else "are"
        return PipelineStatus(
            Kind.NO_TOPIC, f"has nothing to read: {', '.join(missing)} {are} not on the cluster"
        )
    if state != "running":
        return PipelineStatus(Kind.OFF, "does not run fully")
    if not partitions:
        return PipelineStatus(Kind.NO_PARTITIONS, "has no partition assigned")
    if rate:
        return PipelineStatus(Kind.READS, "reads")
    if lag is None:
        return PipelineStatus(Kind.UNKNOWN, "reads nothing, and how much waits is unknown")
    if not lag:
        return PipelineStatus(Kind.IDLE, "has read everything, and nothing comes in")
    if rate is not None and len(trend) >= STILL_STEPS and not any(trend[-STILL_STEPS:]):
        return PipelineStatus(Kind.STILL, f"reads nothing, though {lag:,.0f} messages wait")
    return PipelineStatus(Kind.READS, "reads")


def _fresh(published: Snapshot | None, key: str, now: float, fresh_s: float) -> Mapping[str, Any] | None:
    one = (published or {}).get(key)
    return one if one is not None and now - one["published_at"] <= fresh_s else None


def headline(told: Sequence[tuple[str, str, PipelineStatus]], *, short: Sequence[str] = ()) -> str:
    """All pipelines in a sentence, the worst first; of each its name, its state, and its status.

    `short` are clauses about those that lack consumers.
    """
    if not told:
        return "No pipeline is known yet: the reconciler makes them when beat and a worker run."
    wrong: list[str] = []
    for kind in _OUTSIDE:
        wrong += _clauses([(name, one) for name, _, one in told if one.kind is kind])
    said = {name for name, _, one in told if one.kind in _OUTSIDE}
    states = []
    for state, words in _STATES.items():
        names = [name for name, its, _ in told if its == state and name not in said]
        states += [f"{listed(names)} {words[len(names) > 1]}"] if names else []
        said.update(names)
    rest = [(name, one) for name, _, one in told if name not in said]
    for kind in (Kind.STILL, Kind.NO_PARTITIONS, Kind.UNKNOWN):
        states += _clauses([(name, one) for name, one in rest if one.kind is kind])
    states += short
    if wrong or states:
        halted = [clause for clause in states if "halted" in clause]
        others = [clause for clause in states if clause not in halted]
        return f"{'; '.join([*halted, *wrong, *others])}."
    return _calm(rest)


# What keeps a pipeline from its work is nothing of its own.
_OUTSIDE = (Kind.NO_DATABASE, Kind.NO_BROKERS, Kind.NO_TOPIC)
# Of one pipeline, and of several; the worst first.
_STATES = {
    "halted": ("halted and needs you", "halted and need you"),
    "abandoned": ("has no running consumer", "have no running consumer"),
    "retrying": ("is retrying", "are retrying"),
    "starting": ("is not fully running yet", "are not fully running yet"),
    "paused": ("is paused", "are paused"),
}
_PLURAL = {"is": "are", "has": "have", "reads": "read", "does": "do"}


def _clauses(found: Sequence[tuple[str, PipelineStatus]]) -> list[str]:
    """One clause for all that are told the same."""
    by_text: dict[str, list[str]] = {}
    for name, one in found:
        by_text.setdefault(one.text, []).append(name)
    return [f"{listed(names)} {_for(len(names), text)}" for text, names in by_text.items()]


def _for(count: int, text: str) -> str:
    verb, space, rest = text.partition(" ")
    return text if count == 1 else f"{_PLURAL.get(verb, verb)}{space}{rest}"


def _calm(told: Sequence[tuple[str, PipelineStatus]]) -> str:
    reading = [name for name, one in told if one.kind is Kind.READS]
    idle = [name for name, one in told if one.kind is Kind.IDLE]
    if not idle:
        return "Every pipeline reads." if len(told) > 1 else f"{told[0][0]} reads."
    if not reading:
        who = "Every pipeline" if len(told) > 1 else idle[0]
        return f"{who} has read everything, and nothing comes in."
    return f"{listed(reading)} {'reads' if len(reading) == 1 else 'read'}; nothing waits for {listed(idle)}."


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
