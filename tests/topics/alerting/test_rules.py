"""The correctness proof of `judge`: histories of one series, and what each sample does to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topics.alerting.rules import (
    OPERATORS,
    Rule,
    RuleBook,
    SeriesState,
    Standing,
    Transition,
    fingerprint,
    judge,
    metric_labels,
)
from topics.telemetry import Metric

START = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)
BAD, GOOD, UNKNOWN = 90.0, 10.0, None


def make_rule(**changes: Any) -> Rule:
    fields = {"id": 1, "name": "CPU high", "source": "metric", "metric_name": "cpu", "operator": ">"}
    return Rule(**{**fields, "threshold": 80.0, **changes})


def make_metric(**changes: Any) -> Metric:
    fields: dict[str, Any] = {
        "timestamp": START,
        "database_type": "postgresql",
        "instance_id": "prod-db-01",
        "metric_name": "cpu",
        "value": GOOD,
        "tags": {"environment": "production"},
    }
    return Metric(**fields | changes)


# for_s, keep_firing_for_s, then (second, value) samples and the change each one makes:
# . nothing, o opened (pending), F fired, R resolved, d dropped
HISTORIES = [
    # Without waits every crossing counts.
    ("crossing fires, returning resolves", 0, 0, [(0, GOOD), (1, BAD), (2, GOOD)], ".FR"),
    ("staying bad fires once", 0, 0, [(0, BAD), (1, BAD), (2, BAD)], "F.."),
    ("fires again after it resolved", 0, 0, [(0, BAD), (1, GOOD), (2, BAD)], "FRF"),
    ("the threshold itself is not above it", 0, 0, [(0, 80.0), (1, 80.0001)], ".F"),
    # `for`: bad samples must span it.
    ("pending, then firing when `for` has passed", 10, 0, [(0, BAD), (5, BAD), (10, BAD)], "o.F"),
    ("one second short of `for` stays pending", 10, 0, [(0, BAD), (9, BAD)], "o."),
    ("a good sample ends pending without a trace", 10, 0, [(0, BAD), (9, GOOD), (10, BAD)], "odo"),
    (
        "after a drop `for` starts again",
        10,
        0,
        [(0, BAD), (5, GOOD), (8, BAD), (17, BAD), (18, BAD)],
        "odo.F",
    ),
    ("sparse bad samples span it too", 10, 0, [(0, BAD), (600, BAD)], "oF"),
    # `keep_firing_for`: good samples must span it.
    ("resolves once good samples span the wait", 0, 10, [(0, BAD), (1, GOOD), (5, GOOD), (11, GOOD)], "F..R"),
    (
        "a bad sample starts the wait again",
        0,
        10,
        [(0, BAD), (1, GOOD), (9, BAD), (10, GOOD), (19, GOOD)],
        "F....",
    ),
    (
        "and then the whole of it must pass",
        0,
        10,
        [(0, BAD), (1, GOOD), (9, BAD), (10, GOOD), (20, GOOD)],
        "F...R",
    ),
    (
        "no flapping inside the wait",
        0,
        10,
        [(0, BAD), *((n, (GOOD, BAD)[n % 2]) for n in range(1, 9))],
        "F" + "." * 8,
    ),
    ("both waits", 10, 10, [(0, BAD), (10, BAD), (11, GOOD), (21, GOOD)], "oF.R"),
    # Unknown is not a number: it neither fires nor resolves, and moves no clock.
    ("unknown does not fire", 0, 0, [(0, UNKNOWN)], "."),
    ("unknown does not resolve", 0, 0, [(0, BAD), (1, UNKNOWN), (2, GOOD)], "F.R"),
    ("unknown does not end pending", 10, 0, [(0, BAD), (5, UNKNOWN), (10, BAD)], "o.F"),
    ("unknown does not begin the good time", 0, 10, [(0, BAD), (1, UNKNOWN), (11, GOOD), (12, GOOD)], "F..."),
    # Late samples: an open alert looks forward only.
    ("a late good sample resolves nothing", 0, 0, [(10, BAD), (5, GOOD), (11, GOOD)], "F.R"),
    (
        "a late bad sample does not restart the wait",
        0,
        10,
        [(0, BAD), (5, GOOD), (3, BAD), (15, GOOD)],
        "F..R",
    ),
    ("a late good sample does not end pending", 10, 0, [(5, BAD), (4, GOOD), (15, BAD)], "o.F"),
    ("two samples of the same moment both count", 0, 0, [(0, BAD), (0, GOOD)], "FR"),
    ("an old bad sample fires: nothing newer is known", 0, 0, [(-86400, BAD)], "F"),
]
LETTER = {
    Transition.NOTHING: ".",
    Transition.OPENED: "o",
    Transition.FIRED: "F",
    Transition.RESOLVED: "R",
    Transition.DROPPED: "d",
}


def changes_of(rule: Rule, samples: list[tuple[float, float | None]]) -> str:
    standing: Standing | None = None
    seen = ""
    for second, value in samples:
        verdict = judge(rule, standing, value, START + timedelta(seconds=second))
        standing = verdict.standing
        seen += LETTER[verdict.change]
    return seen


@pytest.mark.parametrize(
    ("for_s", "keep_s", "samples", "changes"),
    [row[1:] for row in HISTORIES],
    ids=[row[0] for row in HISTORIES],
)
def test_history(for_s: int, keep_s: int, samples: list[tuple[float, float | None]], changes: str) -> None:
    assert changes_of(make_rule(for_s=for_s, keep_firing_for_s=keep_s), samples) == changes


SAMPLES = st.lists(st.tuples(st.integers(0, 60), st.sampled_from([BAD, GOOD, UNKNOWN])), max_size=40)


@given(SAMPLES, st.integers(0, 20), st.integers(0, 20))
def test_changes_alternate_as_the_states_allow(samples: Any, for_s: int, keep_s: int) -> None:
    """o and F only from inactive or pending, d only from pending, R only from firing."""
    state = "inactive"
    allowed = {"inactive": ".oF", "pending": ".Fd", "firing": ".R"}
    after = {"o": "pending", "F": "firing", "R": "inactive", "d": "inactive"}
    for letter in changes_of(make_rule(for_s=for_s, keep_firing_for_s=keep_s), samples):
        assert letter in allowed[state]
        state = after.get(letter, state)


@pytest.mark.parametrize(
    ("operator", "below", "at", "above"),
    [
        (">", False, False, True),
        (">=", False, True, True),
        ("<", True, False, False),
        ("<=", True, True, False),
        ("==", False, True, False),
        ("!=", True, False, True),
    ],
)
def test_operators(operator: str, below: bool, at: bool, above: bool) -> None:
    rule = make_rule(operator=operator)
    assert [rule.is_broken_by(value) for value in (79.9, 80.0, 80.1)] == [below, at, above]


@pytest.mark.parametrize(
    ("matchers", "covered"),
    [
        ({}, True),
        ({"instance": "prod-db-01"}, True),
        ({"instance": "prod-db-*"}, True),
        ({"instance": "prod-db"}, False),
        ({"instance": "PROD-db-01"}, False),
        ({"database_type": "mongodb"}, False),
        ({"environment": "production", "database_type": "postgresql"}, True),
        ({"environment": "staging"}, False),
    ],
)
def test_matchers(matchers: dict[str, str], covered: bool) -> None:
    labels = {"database_type": "postgresql", "instance_id": "prod-db-01", "environment": "production"}
    assert make_rule(**matchers).covers(subject="prod-db-01", labels=labels) is covered


def test_labels_are_the_series_and_the_tags_asked_for() -> None:
    metric = make_metric(tags={"environment": "production", "tenant_id": "acme", "mount": "/var", "pod": "x"})
    assert metric_labels(make_rule(), metric, None) == {
        "database_type": "postgresql",
        "instance_id": "prod-db-01",
        "environment": "production",
        "tenant_id": "acme",
    }
    assert metric_labels(make_rule(group_by_tags="mount"), metric, None)["mount"] == "/var"


def test_the_topics_environment_stands_in_for_a_missing_tag() -> None:
    assert metric_labels(make_rule(), make_metric(tags={}), "staging")["environment"] == "staging"
    assert "environment" not in metric_labels(make_rule(), make_metric(tags={}), None)


def test_labels_hold_no_null_character() -> None:
    assert metric_labels(make_rule(), make_metric(instance_id="a\0b"), None)["instance_id"] == "a\ufffdb"


def test_fingerprints_ignore_order_and_differ_by_content() -> None:
    assert fingerprint({"a": "1", "b": "2"}) == fingerprint({"b": "2", "a": "1"})
    assert fingerprint({"a": "1", "b": "2"}) != fingerprint({"a": "2", "b": "1"})
    assert len(fingerprint({})) == 32


RULES = st.lists(
    st.builds(
        make_rule,
        metric_name=st.sampled_from(["cpu", "disk"]),
        operator=st.sampled_from(sorted(OPERATORS)),
        threshold=st.integers(-3, 3).map(float),
    ),
    max_size=5,
)
METRICS = st.lists(
    st.builds(
        make_metric,
        metric_name=st.sampled_from(["cpu", "disk", "memory"]),
        value=st.integers(-4, 4).map(float) | st.floats(allow_nan=False, allow_infinity=False),
        instance_id=st.sampled_from(["a", "b"]),
    ),
    max_size=20,
)


@given(
    RULES,
    METRICS,
    st.lists(st.tuples(st.sampled_from(["cpu", "disk"]), st.sampled_from(["a", "b"])), max_size=2),
)
def test_no_sample_that_matters_escapes_suspicion(
    rules: list[Rule], metrics: list[Metric], open_series: list[tuple[str, str]]
) -> None:
    book = RuleBook(rules)
    book.watch(open_series)
    suspects = book.suspects(metrics)
    assert suspects == sorted(suspects)
    broken = {
        (metric.metric_name, metric.instance_id)
        for metric in metrics
        if any(rule.is_broken_by(metric.value) for rule in book.of(metric.metric_name))
    }
    for position, metric in enumerate(metrics):
        series = (metric.metric_name, metric.instance_id)
        if book.of(metric.metric_name) and (series in broken or series in open_series):
            assert position in suspects


def test_calm_samples_are_no_suspects() -> None:
    book = RuleBook([make_rule(), make_rule(id=2, operator="<", threshold=5.0)])
    metrics = [make_metric(value=value) for value in (4.0, 5.1, 40.0, 79.0, 81.0)]
    assert book.suspects([*metrics[1:4], make_metric(metric_name="other", value=1e9)]) == []
    book.watch([("cpu", "prod-db-01"), ("unruled", "prod-db-01")])
    assert book.suspects(metrics[1:4]) == [0, 1, 2]
    book.watch([])
    assert book.suspects(metrics[1:4]) == []


def test_a_breach_makes_the_instances_other_samples_of_the_batch_suspect() -> None:
    book = RuleBook([make_rule()])
    metrics = [make_metric(), make_metric(value=BAD), make_metric(), make_metric(instance_id="other")]
    assert book.suspects(metrics) == [0, 1, 2]


def test_a_standing_knows_its_states() -> None:
    verdict = judge(make_rule(for_s=5), None, BAD, START)
    assert verdict.standing == Standing(SeriesState.PENDING, since=START, newest=START)
