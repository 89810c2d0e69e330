"""What a plan says, case by case."""

from __future__ import annotations

from typing import Any

import pytest

from topics.definitions.plan import Adjustment, DriftKind, Kind, Layout, LiveLayout, make_plan, three_way

TOPIC = "gds.metrics.production"


def layout(**changes: Any) -> Layout:
    config = {"retention.ms": "604800000", "min.insync.replicas": "2", **changes.pop("config", {})}
    return Layout(**{"partitions": 12, "replication_factor": 3, "config": config, **changes})


def live(**changes: Any) -> LiveLayout:
    overrides = changes.pop("overrides", frozenset())
    plain = layout(**changes)
    return LiveLayout(plain.partitions, plain.replication_factor, plain.config, frozenset(overrides))


def changes_of(
    declared: Layout, there: LiveLayout | None, brokers: int = 3
) -> list[tuple[Kind, dict[str, str]]]:
    plan = make_plan(declared={TOPIC: declared}, live={TOPIC: there} if there else {}, brokers=brokers)
    return [(change.kind, dict(change.after)) for change in plan.changes]


@pytest.mark.parametrize(
    ("declared", "there", "expected"),
    [
        (layout(), live(), []),
        (layout(), live(config={"segment.ms": "1"}), []),
        (layout(), None, [(Kind.CREATE, layout().fields())]),
        (layout(partitions=24), live(), [(Kind.ADD_PARTITIONS, {"partitions": "24"})]),
        (layout(partitions=6), live(), [(Kind.REFUSED, {"partitions": "6"})]),
        (layout(replication_factor=2), live(), [(Kind.REFUSED, {"replication.factor": "2"})]),
        (
            layout(config={"retention.ms": "1000000"}),
            live(),
            [(Kind.ALTER_CONFIG, {"retention.ms": "1000000"})],
        ),
        (
            layout(partitions=24, config={"segment.ms": "1", "retention.ms": "-1"}),
            live(),
            [
                (Kind.ADD_PARTITIONS, {"partitions": "24"}),
                (Kind.ALTER_CONFIG, {"retention.ms": "-1", "segment.ms": "1"}),
            ],
        ),
    ],
)
def test_differences(declared: Layout, there: LiveLayout | None, expected: list[Any]) -> None:
    assert changes_of(declared, there) == expected


def test_a_topic_nobody_declared_is_left_alone() -> None:
    plan = make_plan(declared={}, live={TOPIC: live()}, brokers=3)
    assert plan.is_clean


def test_one_broker_gets_what_it_can_hold_and_the_plan_says_so() -> None:
    plan = make_plan(declared={TOPIC: layout()}, live={}, brokers=1)
    assert [change.kind for change in plan.changes] == [Kind.CREATE]
    assert plan.wanted[TOPIC] == layout(replication_factor=1, config={"min.insync.replicas": "1"})
    assert [str(made) for made in plan.adjustments] == [
        f"{TOPIC}: replication factor 1 of declared 3 (the cluster has 1 broker)",
        f"{TOPIC}: min.insync.replicas 1 of declared 2 (the topic has 1 replica)",
    ]


def test_after_an_adjusted_apply_the_plan_is_clean() -> None:
    there = live(replication_factor=1, config={"min.insync.replicas": "1"})
    assert changes_of(layout(), there, brokers=1) == []


def test_two_brokers_keep_the_declared_durability() -> None:
    plan = make_plan(declared={TOPIC: layout()}, live={}, brokers=2)
    assert plan.wanted[TOPIC] == layout(replication_factor=2)


def test_more_brokers_than_before_is_refused_not_reassigned() -> None:
    there = live(replication_factor=1, config={"min.insync.replicas": "1"})
    assert changes_of(layout(), there, brokers=3) == [(Kind.REFUSED, {"replication.factor": "3"})]


def test_in_sync_replicas_never_exceed_the_replicas_a_topic_has() -> None:
    """Else applying would stop every acks=all write to it."""
    there = live(replication_factor=1, config={"min.insync.replicas": "1"})
    plan = make_plan(declared={TOPIC: layout()}, live={TOPIC: there}, brokers=3)
    assert Adjustment(TOPIC, "min.insync.replicas", "2", "1", "the topic has 1 replica") in plan.adjustments


@pytest.mark.parametrize(
    ("declared", "applied", "there", "verdict"),
    [
        ("1", "1", "1", None),
        ("2", "1", "2", None),
        ("2", "1", "1", DriftKind.NOT_APPLIED),
        ("2", None, "1", DriftKind.NOT_APPLIED),
        ("1", "1", "2", DriftKind.CHANGED_ON_CLUSTER),
        ("3", "1", "2", DriftKind.BOTH_CHANGED),
    ],
)
def test_three_ways(declared: str, applied: str | None, there: str, verdict: DriftKind | None) -> None:
    drifts = three_way(
        topic=TOPIC,
        wanted=layout(config={"retention.ms": declared}),
        applied=layout(config={"retention.ms": applied}) if applied else None,
        live=live(config={"retention.ms": there}),
    )
    assert [(drift.name, drift.verdict) for drift in drifts] == (
        [("retention.ms", verdict)] if verdict else []
    )


def test_what_was_set_by_hand_is_named() -> None:
    drifts = three_way(
        topic=TOPIC,
        wanted=layout(),
        applied=layout(),
        live=live(config={"segment.ms": "60000"}, overrides={"segment.ms", "retention.ms"}),
    )
    assert [(drift.name, drift.live, drift.verdict) for drift in drifts] == [
        ("segment.ms", "60000", DriftKind.UNDECLARED)
    ]
