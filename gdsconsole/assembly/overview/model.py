"""What the overview knows at one moment. A reading that nobody has is None; it is never taken for zero."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

Number = TypeVar("Number", int, float)

BAD, WARN, UNKNOWN, OK = "bad", "warn", "unknown", "ok"

# How old a sample may be before nothing is known by it. Lag, rates and brokers are sampled every 5 s, a
# consumer speaks every second.
SAMPLE_FRESH_S = 20.0
STATS_FRESH_S = 6.0
METRIC_FRESH_S = 60.0
# Declared topics are compared with the cluster every 15 s.
COMPARISON_FRESH_S = 50.0


@dataclass(frozen=True, slots=True)
class Alerts:
    """Counts of alerts that fire, by severity; since when the oldest does; how many somebody has."""

    critical: int
    warning: int
    info: int
    acknowledged: int
    oldest: datetime | None

    @property
    def firing(self) -> int:
        return self.critical + self.warning + self.info


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Letters that wait for a decision, and of how many causes."""

    waiting: int
    causes: int


@dataclass(frozen=True, slots=True)
class Group:
    """One consumer group's lag; `total_lag` is None where no partition's is known."""

    name: str
    status: str | None
    total_lag: int | None
    unknown_partitions: int


@dataclass(frozen=True, slots=True)
class Lag:
    """The groups as they were sampled at `at` (epoch seconds), the one furthest behind first."""

    groups: Sequence[Group]
    at: float

    @property
    def total(self) -> int | None:
        """The sum of what is known; None when nothing is."""
        return total(group.total_lag for group in self.groups)

    @property
    def unknown_partitions(self) -> int:
        return sum(group.unknown_partitions for group in self.groups)

    def of(self, name: str) -> Group | None:
        return next((group for group in self.groups if group.name == name), None)


@dataclass(frozen=True, slots=True)
class Brokers:
    """Counts as the cluster told them at `at` (epoch seconds); `live` is None when it did not answer."""

    live: int | None
    expected: int | None
    under_replicated: int | None
    leaderless: int | None
    at: float

    @property
    def missing(self) -> int:
        return max(0, (self.expected or 0) - (self.live or 0))


@dataclass(frozen=True, slots=True)
class PipelineReading:
    """One pipeline: what is wanted and what its consumers do.

    By consumer's slot: `rates`, messages a second in; `rates_out`, what came of them, such as rows or alert
    events a second. None is unknown.
    """

    name: str
    group: str
    state: str
    reason: str
    running: int
    wanted: int
    rates: dict[int, float | None]
    rates_out: dict[int, float | None]

    @property
    def rate_in(self) -> float | None:
        return total(self.rates.values())

    @property
    def rate_out(self) -> float | None:
        return total(self.rates_out.values())


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic that pipelines read; its rate and its records so far, as sampled at `at`."""

    name: str
    rate_in: float | None = None
    end_total: int | None = None
    at: float | None = None


@dataclass(frozen=True, slots=True)
class Named:
    """How many topics, and the first of their names."""

    count: int = 0
    names: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """The declared topics against the cluster: not on it, unlike their definition, failing a check.

    `absent` are the topics, declared or not, that the console itself needs and the cluster does not have.
    """

    missing: Named = Named()
    drift: Named = Named()
    failing: Named = Named()
    absent: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Readings:
    """Everything at once. `live`: Redis answers. `instances` have sent a metric in the last minute.

    `metrics` and `dead_letter_topics` are what the pipelines read; `reads` says which pipeline which.
    """

    alerts: Alerts
    dead_letters: DeadLetters
    lag: Lag | None
    brokers: Brokers | None
    pipelines: Sequence[PipelineReading]
    metrics: Sequence[Topic]
    dead_letter_topics: Sequence[Topic]
    reads: dict[str, Sequence[str]]
    instances: int | None
    comparison: Comparison | None
    live: bool

    @property
    def rate_in(self) -> float | None:
        """Messages a second into the topics of metrics."""
        return total(topic.rate_in for topic in self.metrics)


def total(values: Iterable[Number | None]) -> Number | None:
    """The sum of the known; None when none is."""
    known = [value for value in values if value is not None]
    return sum(known[1:], known[0]) if known else None
