"""The sentence: what is wrong, the worst first, nothing unknown taken for zero."""

from __future__ import annotations

import pytest

from gdsconsole.assembly.overview.model import Comparison, DeadLetters, Named, Topic
from gdsconsole.assembly.overview.problems import (
    calm,
    listed,
    many,
    of_alerts,
    of_brokers,
    of_dead_letters,
    of_lag,
    of_pipelines,
    of_topics,
    of_traffic,
    problems,
    tone_of,
)
from tests.assembly.overview.making import (
    make_alerts,
    make_brokers,
    make_group,
    make_lag,
    make_pipeline,
    make_readings,
)


def said(found):
    return [(problem.tone, problem.text) for problem in found]


@pytest.mark.parametrize(
    ("alerts", "expected"),
    [
        (make_alerts(), []),
        (make_alerts(warning=1), [("warn", "1 alert firing")]),
        (make_alerts(info=1), [("warn", "1 alert firing")]),
        (make_alerts(critical=1), [("bad", "1 critical alert firing")]),
        (make_alerts(critical=2), [("bad", "2 critical alerts firing")]),
        (make_alerts(critical=1, warning=2), [("bad", "3 alerts firing (1 critical)")]),
        (make_alerts(warning=1_200), [("warn", "1,200 alerts firing")]),
    ],
)
def test_alerts(alerts, expected):
    assert said(of_alerts(alerts)) == expected


@pytest.mark.parametrize(
    ("brokers", "expected"),
    [
        (make_brokers(), []),
        (None, [("unknown", "the brokers are unknown")]),
        (make_brokers(live=None, expected=3), [("bad", "the Kafka cluster does not answer")]),
        (make_brokers(live=2), [("bad", "1 of 3 brokers is down")]),
        (make_brokers(live=1), [("bad", "2 of 3 brokers are down")]),
        # More than the console knew of: a cluster that grew is not broken.
        (make_brokers(live=4), []),
        (make_brokers(expected=None), []),
        (make_brokers(leaderless=1), [("bad", "1 partition without a leader")]),
        (make_brokers(under_replicated=31), [("warn", "31 partitions under-replicated")]),
        (
            make_brokers(live=2, under_replicated=31),
            [("bad", "1 of 3 brokers is down"), ("bad", "31 partitions under-replicated")],
        ),
        # Counts that could not be read say nothing, and are not zero either: the tile says "unknown".
        (make_brokers(under_replicated=None, leaderless=None), []),
    ],
)
def test_brokers(brokers, expected):
    assert said(of_brokers(brokers)) == expected


@pytest.mark.parametrize(
    ("pipelines", "expected"),
    [
        ([make_pipeline()], []),
        ([make_pipeline(state="halted")], [("bad", "pipeline alerting is halted")]),
        ([make_pipeline(state="retrying")], [("warn", "pipeline alerting is retrying")]),
        ([make_pipeline(state="paused")], [("warn", "pipeline alerting is paused")]),
        ([make_pipeline(state="starting", running=1)], []),
        ([make_pipeline(state="starting", running=0)], [("bad", "pipeline alerting does not run")]),
        (
            [make_pipeline(state="starting", running=1, wanted=3)],
            [("warn", "pipeline alerting runs 1 of 3 consumers")],
        ),
        (
            [make_pipeline(name, state="starting", running=0) for name in ("alerting", "dlq-index")],
            [("bad", "pipelines alerting and dlq-index do not run")],
        ),
        (
            [make_pipeline(name, state="paused") for name in "abc"],
            [("warn", "pipelines a, b and c are paused")],
        ),
        ([make_pipeline(name, state="paused") for name in "abcd"], [("warn", "4 pipelines are paused")]),
    ],
)
def test_pipelines(pipelines, expected):
    assert said(of_pipelines(pipelines)) == expected


@pytest.mark.parametrize(
    ("lag", "expected"),
    [
        (make_lag(make_group(), make_group(status="empty")), []),
        # A group that keeps up may have any lag.
        (make_lag(make_group(total_lag=9_000)), []),
        (None, [("unknown", "lag is unknown")]),
        (make_lag(make_group("a", status="slow", total_lag=12_000)), [("warn", "a is behind by 12 k")]),
        (make_lag(make_group("a", status="SLOW", total_lag=None)), [("warn", "a is behind")]),
        (make_lag(make_group("a", status="stalled", total_lag=7)), [("bad", "a is stalled, 7 behind")]),
        (make_lag(make_group("a", status="stopped", total_lag=None)), [("bad", "a is stopped")]),
        (make_lag(make_group("a", status="rewound", total_lag=70)), [("warn", "a was rewound, 70 behind")]),
        (make_lag(make_group("a", status=None, total_lag=None)), [("unknown", "the lag of a is unknown")]),
        (
            make_lag(make_group("a", status="unknown"), make_group("b", status="unknown")),
            [("unknown", "the lag of 2 groups is unknown")],
        ),
        (
            make_lag(*(make_group(name, status="slow", total_lag=1_000) for name in "abcd")),
            [("warn", "4 groups are behind, a furthest by 1 k")],
        ),
    ],
)
def test_lag(lag, expected):
    assert said(of_lag(lag)) == expected


@pytest.mark.parametrize(
    ("comparison", "brokers", "expected"),
    [
        (Comparison(), make_brokers(), []),
        (None, make_brokers(), [("unknown", "whether the topics run as declared is unknown")]),
        # Said once, by the cluster that does not answer.
        (None, make_brokers(live=None), []),
        (None, None, []),
        (
            Comparison(missing=Named(1, ["left-topic"])),
            make_brokers(),
            [("bad", "topic left-topic is not on the cluster")],
        ),
        (
            Comparison(drift=Named(2, ["a", "b"]), failing=Named(1_200, ["c"])),
            make_brokers(),
            [
                ("warn", "2 topics differ from their definitions"),
                ("warn", "1,200 topics fail production checks"),
            ],
        ),
        (
            Comparison(absent=["gds.metrics.dlq"]),
            make_brokers(),
            [("bad", "topic gds.metrics.dlq, which the console needs, is not on the cluster")],
        ),
        (
            Comparison(missing=Named(1, ["gds.metrics.dlq"]), absent=["gds.metrics.dlq"]),
            make_brokers(),
            [("bad", "topic gds.metrics.dlq is not on the cluster")],
        ),
    ],
)
def test_topics(comparison, brokers, expected):
    assert said(of_topics(comparison, brokers)) == expected


@pytest.mark.parametrize(
    ("rates", "instances", "expected"),
    [
        ([50.0], 12, []),
        ([0.0], 0, [("warn", "no metric has come into topic t0 for a minute")]),
        ([0.0, 0.0], 0, [("warn", "no metric has come into any of 2 topics for a minute")]),
        # A pause between two metrics is no outage of the senders.
        ([0.0], 12, []),
        ([0.0, 3.0], 0, []),
        # What nobody knows is not nothing.
        ([None], 0, []),
        ([0.0], None, []),
        ([], 0, []),
    ],
)
def test_traffic(rates, instances, expected):
    topics = [Topic(f"t{at}", rate_in=rate) for at, rate in enumerate(rates)]
    assert said(of_traffic(topics, instances)) == expected


@pytest.mark.parametrize(
    ("letters", "expected"),
    [
        (DeadLetters(0, 0), []),
        (DeadLetters(1, 1), [("warn", "1 dead letter from one cause")]),
        (DeadLetters(37, 4), [("warn", "37 dead letters from 4 causes")]),
    ],
)
def test_dead_letters(letters, expected):
    assert said(of_dead_letters(letters)) == expected


def test_the_worst_comes_first_and_each_leads_to_its_page():
    found = problems(
        make_readings(
            alerts=make_alerts(warning=1),
            brokers=make_brokers(live=2),
            lag=None,
            dead_letters=DeadLetters(2, 1),
            pipelines=[make_pipeline(state="halted")],
        )
    )
    assert [(problem.tone, problem.href) for problem in found] == [
        ("bad", "/pipelines/"),
        ("bad", "/brokers/"),
        ("warn", "/alerts/?state=firing"),
        ("warn", "/dlq/"),
        ("unknown", "/lag/"),
    ]
    assert tone_of(found) == "bad"


def test_a_redis_that_is_away_is_said_once():
    found = problems(
        make_readings(live=False, lag=None, brokers=None, metrics=[Topic("gds.metrics.production")])
    )
    assert said(found) == [("warn", "Redis does not answer")]


def test_what_is_sampled_no_more_while_redis_answers_is_unknown():
    found = problems(make_readings(lag=None, brokers=None))
    assert said(found) == [("unknown", "the brokers are unknown"), ("unknown", "lag is unknown")]
    assert tone_of(found) == "unknown"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"metrics": [Topic("t", rate_in=1_234.0)]},
            "All is well: no alert fires, 3 brokers up, 2 groups keeping up and 1.2 k messages/s coming in.",
        ),
        (
            {"metrics": [Topic("t", rate_in=0.0)]},
            "All is well: no alert fires, 3 brokers up, 2 groups keeping up and nothing coming in.",
        ),
        ({"metrics": [Topic("t")], "lag": make_lag()}, "All is well: no alert fires and 3 brokers up."),
        ({"metrics": [], "lag": None, "brokers": None}, "All is well: no alert fires."),
    ],
)
def test_a_calm_sentence_tells_only_what_is_known(changes, expected):
    readings = make_readings(**changes)
    assert calm(readings) == expected


def test_nothing_wrong_is_no_problem():
    assert problems(make_readings()) == []
    assert tone_of([]) == "ok"


@pytest.mark.parametrize(
    ("count", "noun", "expected"),
    [(1, "consumer", "1 consumer"), (0, "consumer", "0 consumers"), (2_000, "broker", "2,000 brokers")],
)
def test_many(count, noun, expected):
    assert many(count, noun) == expected


@pytest.mark.parametrize(
    ("parts", "expected"), [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_listed(parts, expected):
    assert listed(parts) == expected


@pytest.mark.parametrize(
    ("name", "status", "opening", "path"),
    [
        ("left-topic", "stalled", "left-topic is stalled", "/lag/left-topic/"),
        ("a#b?c%25", "slow", "a#b?c%25 is behind", "/lag/a%23b%3Fc%2525/"),
        ("..", "rewound", ".. was rewound", "/lag/~Li4/"),
        ("", "unknown", "The lag of (no name) is unknown", "/lag/~/"),
    ],
)
def test_a_name_keeps_its_letters_and_finds_its_page(name, status, opening, path):
    (problem,) = of_lag(make_lag(make_group(name, status=status)))
    assert (problem.opening, problem.href) == (opening, path)


def test_other_clauses_begin_like_a_sentence():
    assert [problem.opening for problem in of_brokers(None)] == ["The brokers are unknown"]
