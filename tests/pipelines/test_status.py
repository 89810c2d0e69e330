"""Whether a pipeline reads, in words, and the sentence above all of them."""

from __future__ import annotations

from typing import Any

import pytest

from gdsconsole.pipelines.status import (
    ClusterCondition,
    Kind,
    PipelineStatus,
    around_of,
    headline,
    lag_of,
    pipeline_status,
)

UP = ClusterCondition(brokers_answer=True, absent=frozenset())
METRICS = "gds.metrics.production"


def judged(**changes: Any) -> PipelineStatus:
    usual = {
        "state": "running",
        "running": 1,
        "partitions": 12,
        "reads": [METRICS],
        "rate": 120.0,
        "trend": [100.0, 110.0, 120.0],
        "lag": 3.0,
        "around": UP,
    }
    return pipeline_status(**{**usual, **changes})


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, Kind.READS),
        ({"rate": 0.0, "lag": 0.0}, Kind.IDLE),
        ({"rate": None, "lag": 0.0}, Kind.IDLE),
        ({"rate": 0.0, "lag": 500.0, "trend": [0.0, 0.0, 0.0]}, Kind.STILL),
        # A batch that waits for its fifth second.
        ({"rate": 0.0, "lag": 5.0, "trend": [4.0, 5.0, 0.0]}, Kind.READS),
        ({"rate": 0.0, "lag": None}, Kind.UNKNOWN),
        ({"partitions": 0}, Kind.NO_PARTITIONS),
        # All brokers dead: the rate is of before, or of a lag that nobody could ask for.
        ({"around": ClusterCondition(brokers_answer=False)}, Kind.NO_BROKERS),
        ({"around": ClusterCondition(brokers_answer=False), "state": "starting"}, Kind.NO_BROKERS),
        ({"around": ClusterCondition(True, frozenset({METRICS})), "rate": None}, Kind.NO_TOPIC),
        # One of two that it reads: it reads the other.
        (
            {
                "around": ClusterCondition(True, frozenset({METRICS})),
                "reads": [METRICS, "gds.metrics.staging"],
            },
            Kind.READS,
        ),
        # Whether brokers answer is not known where nobody sampled them.
        ({"around": ClusterCondition()}, Kind.READS),
        ({"state": "retrying", "reason": "waits for the database: it is locked"}, Kind.NO_DATABASE),
        ({"state": "retrying", "reason": "t-0: RuntimeError: a bug"}, Kind.OFF),
        ({"state": "paused"}, Kind.OFF),
        ({"running": 0, "state": "starting"}, Kind.OFF),
    ],
)
def test_a_pipeline_reads_or_the_reason_is_told(changes: dict[str, Any], kind: Kind) -> None:
    assert judged(**changes).kind is kind


def told(*each: tuple[str, str, PipelineStatus]) -> str:
    return headline(each)


READS, IDLE = judged(), judged(rate=0.0, lag=0.0)
NO_BROKERS = judged(around=ClusterCondition(brokers_answer=False))


def test_the_sentence_is_of_what_is_read() -> None:
    assert told(("a", "running", READS), ("b", "running", READS)) == "Every pipeline reads."
    assert told(("a", "running", READS), ("b", "running", READS), ("c", "running", IDLE)) == (
        "a and b read; nothing waits for c."
    )
    assert told(("a", "running", IDLE), ("b", "running", IDLE)) == (
        "Every pipeline has read everything, and nothing comes in."
    )
    assert told(("a", "running", NO_BROKERS), ("b", "running", NO_BROKERS)) == (
        "a and b are retrying: no broker answers."
    )
    missing = judged(around=ClusterCondition(True, frozenset({METRICS})))
    assert told(("a", "running", missing), ("b", "running", missing), ("c", "running", IDLE)) == (
        f"a and b have nothing to read: {METRICS} is not on the cluster."
    )
    assert told(("a", "paused", judged(state="paused")), ("b", "running", READS)) == "a is paused."
    waits = judged(state="retrying", reason="the database is full")
    assert told(("a", "retrying", waits), ("b", "retrying", waits)) == (
        "a and b are retrying: the database takes no writes."
    )
    still = judged(rate=0.0, lag=5_000.0, trend=[0.0] * 3)
    assert told(("a", "halted", READS), ("b", "running", still)) == (
        "a halted and needs you; b reads nothing, though 5,000 messages wait."
    )


def test_what_was_published_long_ago_is_unknown() -> None:
    brokers = {"cluster": {"brokers": None, "published_at": 100.0}}
    compared = {"declared": {"absent": [METRICS], "published_at": 100.0}}
    assert around_of(brokers, compared, now=110.0) == ClusterCondition(False, frozenset({METRICS}))
    assert around_of(brokers, compared, now=140.0) == ClusterCondition(None, frozenset({METRICS}))
    assert around_of(None, None, now=110.0) == ClusterCondition()
    lag = {"gds-alerting": {"total_lag": 7, "published_at": 100.0}}
    assert lag_of(lag, "gds-alerting", now=110.0) == 7
    assert lag_of(lag, "gds-alerting", now=140.0) is None
