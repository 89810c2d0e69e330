"""What would have to change for the cluster to be as declared. Pure.

A plan creates topics, adds partitions and sets properties. It never deletes a topic: a definition that
is missing says nothing about the topic. What Kafka can't do (fewer partitions) or what moves data
(another replication factor) is refused in the plan, with the reason, and left as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from gdsconsole.kafka.cluster.topic_properties import same
from gdsconsole.text.formats import plural

MIN_ISR = "min.insync.replicas"


@dataclass(frozen=True, slots=True)
class Layout:
    """A topic as declared, as last applied, or as it is. `config` holds Kafka's property names."""

    partitions: int
    replication_factor: int
    config: Mapping[str, str]

    def fields(self) -> dict[str, str]:
        """Everything comparable, by name."""
        return {
            "partitions": str(self.partitions),
            "replication.factor": str(self.replication_factor),
            **self.config,
        }


@dataclass(frozen=True, slots=True)
class LiveLayout(Layout):
    overrides: frozenset[str] = frozenset()  # properties set on the topic itself


class Kind(StrEnum):
    CREATE = "create"
    ADD_PARTITIONS = "add partitions"
    ALTER_CONFIG = "alter config"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class PlanStep:
    """One step of a plan. `before` and `after` hold the fields that differ."""

    topic: str
    kind: Kind
    before: Mapping[str, str]
    after: Mapping[str, str]
    reason: str = ""  # why it is refused


@dataclass(frozen=True, slots=True)
class Adjustment:
    """Where less than declared is applied, because the cluster has no more."""

    topic: str
    name: str
    declared: str
    applied: str
    reason: str

    def __str__(self) -> str:
        return f"{self.topic}: {self.name} {self.applied} of declared {self.declared} ({self.reason})"


@dataclass(frozen=True, slots=True)
class Plan:
    changes: tuple[PlanStep, ...]
    adjustments: tuple[Adjustment, ...]
    wanted: Mapping[str, Layout] = field(default_factory=dict)  # the definitions, adjusted

    @property
    def is_clean(self) -> bool:
        return not self.changes

    @property
    def refused(self) -> tuple[PlanStep, ...]:
        return tuple(change for change in self.changes if change.kind is Kind.REFUSED)


def make_plan(
    *,
    declared: Mapping[str, Layout],
    live: Mapping[str, LiveLayout],
    brokers: int,
    unread: Mapping[str, str] | None = None,
) -> Plan:
    """The plan for these definitions on a cluster of `brokers`, in the definitions' order.

    Of the `unread` topics nobody knows what would have to change: each is refused with its reason.
    """
    changes: list[PlanStep] = []
    adjustments: list[Adjustment] = []
    wanted: dict[str, Layout] = {}
    for topic, layout in declared.items():
        adjusted, made = fit(topic, layout, brokers=brokers, live=live.get(topic))
        wanted[topic] = adjusted
        adjustments += made
        there = live.get(topic)
        if unread and topic in unread:
            reason = f"the cluster has it and could not describe it: {unread[topic]}"
            changes.append(PlanStep(topic, Kind.REFUSED, {}, {}, reason))
        elif there is None:
            changes.append(PlanStep(topic, Kind.CREATE, {}, adjusted.fields()))
        else:
            changes += _differences(topic, adjusted, there)
    return Plan(tuple(changes), tuple(adjustments), wanted)


def fit(topic: str, layout: Layout, *, brokers: int, live: Layout | None) -> tuple[Layout, list[Adjustment]]:
    """The layout as far as the cluster can hold it, and what that took.

    The replication factor is at most the number of brokers. min.insync.replicas is at most the factor
    the topic has or will get: above it, every acks=all write would be refused.
    """
    adjustments: list[Adjustment] = []
    replicas = min(layout.replication_factor, brokers)
    if replicas < layout.replication_factor:
        reason = f"the cluster has {brokers} broker{'s' if brokers != 1 else ''}"
        adjustments.append(
            Adjustment(topic, "replication factor", str(layout.replication_factor), str(replicas), reason)
        )
    actual = live.replication_factor if live is not None else replicas
    asked = int(layout.config.get(MIN_ISR, "1"))
    if asked <= actual:
        return replace(layout, replication_factor=replicas), adjustments
    adjustments.append(
        Adjustment(
            topic,
            MIN_ISR,
            str(asked),
            str(actual),
            f"the topic has {plural(actual, 'replica')}",
        )
    )
    config = {**layout.config, MIN_ISR: str(actual)}
    return replace(layout, replication_factor=replicas, config=config), adjustments


def _differences(topic: str, wanted: Layout, live: LiveLayout) -> Iterable[PlanStep]:
    if wanted.partitions > live.partitions:
        yield _partitions(topic, Kind.ADD_PARTITIONS, live, wanted)
    elif wanted.partitions < live.partitions:
        yield _partitions(topic, Kind.REFUSED, live, wanted, "Kafka can't take partitions away")
    if wanted.replication_factor != live.replication_factor:
        yield PlanStep(
            topic,
            Kind.REFUSED,
            {"replication.factor": str(live.replication_factor)},
            {"replication.factor": str(wanted.replication_factor)},
            "another replication factor moves data: use kafka-reassign-partitions",
        )
    differing = {
        name: value for name, value in wanted.config.items() if not same(name, live.config.get(name), value)
    }
    if differing:
        before = {name: live.config.get(name, "unset") for name in differing}
        yield PlanStep(topic, Kind.ALTER_CONFIG, before, differing)


def _partitions(topic: str, kind: Kind, live: Layout, wanted: Layout, reason: str = "") -> PlanStep:
    return PlanStep(
        topic, kind, {"partitions": str(live.partitions)}, {"partitions": str(wanted.partitions)}, reason
    )


class DriftKind(StrEnum):
    """What three-way comparison says of one field."""

    IN_SYNC = "in sync"
    NOT_APPLIED = "declared anew, not applied yet"
    CHANGED_ON_CLUSTER = "changed on the cluster since it was applied"
    BOTH_CHANGED = "changed on both sides"
    UNDECLARED = "set on the cluster, not declared"


@dataclass(frozen=True, slots=True)
class Drift:
    """One field that is not the same everywhere; None where nobody ever said."""

    topic: str
    name: str
    declared: str | None
    applied: str | None
    live: str | None
    verdict: DriftKind


def three_way(*, topic: str, wanted: Layout, applied: Layout | None, live: LiveLayout) -> list[Drift]:
    """The fields in which the definition, what was last applied and the cluster differ."""
    before = applied.fields() if applied is not None else {}
    there = live.fields()
    drifts = []
    for name, value in wanted.fields().items():
        if same(name, there.get(name), value):
            continue
        if name not in before or same(name, there.get(name), before[name]):
            verdict = DriftKind.NOT_APPLIED
        elif same(name, value, before[name]):
            verdict = DriftKind.CHANGED_ON_CLUSTER
        else:
            verdict = DriftKind.BOTH_CHANGED
        drifts.append(Drift(topic, name, value, before.get(name), there.get(name), verdict))
    undeclared = sorted(live.overrides - wanted.config.keys())
    return drifts + [
        Drift(topic, name, None, before.get(name), live.config[name], DriftKind.UNDECLARED)
        for name in undeclared
    ]
