from __future__ import annotations

from typing import Any

import pytest

from topics.definitions.checklist import check_topic
from topics.definitions.plan import Layout

WEEK = "604800000"


def layout(config: dict[str, str] | None = None, **changes: Any) -> Layout:
    usual = {
        "retention.ms": WEEK,
        "min.insync.replicas": "2",
        "compression.type": "lz4",
        "cleanup.policy": "delete",
    }
    return Layout(**{"partitions": 12, "replication_factor": 3, "config": usual | (config or {}), **changes})


def failed(live: Layout | None, **changes: Any) -> list[str]:
    fields: dict[str, Any] = {
        "exists": True,
        "brokers": 3,
        "dead_letters": layout(),
        "wants_dead_letters": True,
        **changes,
    }
    return [check.name for check in check_topic(live=live, **fields) if check.passed is False]


def test_the_guides_topic_passes() -> None:
    assert failed(layout()) == []


@pytest.mark.parametrize(
    ("live", "name"),
    [
        (layout(partitions=2), "partition count"),
        (layout(replication_factor=2, config={"min.insync.replicas": "1"}), "replication.factor >= 3"),
        (layout(config={"min.insync.replicas": "1"}), "min.insync.replicas >= 2"),
        (layout(config={"min.insync.replicas": "3"}), "min.insync.replicas >= 2"),
        (layout(config={"retention.ms": "-1"}), "retention configured"),
        (layout(config={"compression.type": "uncompressed"}), "compression enabled"),
    ],
)
def test_each_point_can_fail(live: Layout, name: str) -> None:
    assert name in failed(live)


def test_retention_may_be_by_size_or_compacted() -> None:
    assert failed(layout({"retention.ms": "-1", "retention.bytes": "1000"}), wants_dead_letters=False) == []
    assert failed(layout({"retention.ms": "-1", "cleanup.policy": "compact"}), wants_dead_letters=False) == []


def test_dead_letters_are_kept_as_long_as_their_source() -> None:
    name = "dead letters kept as long"
    assert failed(layout(), dead_letters=None) == [name]
    assert failed(layout(), dead_letters=layout({"retention.ms": "1000"})) == [name]
    assert failed(layout(), dead_letters=layout({"retention.ms": "-1"})) == []
    assert failed(layout(), dead_letters=None, wants_dead_letters=False) == []


def test_a_topic_nobody_could_ask_about_is_unknown_not_failed() -> None:
    (check,) = check_topic(live=None, exists=None, brokers=0, dead_letters=None, wants_dead_letters=True)
    assert check.passed is None
    assert failed(None, exists=False) == ["exists"]
