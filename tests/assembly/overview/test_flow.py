"""The drawing: which station a line leads to, how fast, and what nobody knows of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gdsconsole.assembly.overview.flow import flow
from gdsconsole.assembly.overview.model import Comparison, DeadLetters, Topic
from tests.assembly.overview.making import (
    METRICS,
    REFUSED,
    make_alerts,
    make_group,
    make_lag,
    make_pipeline,
    make_readings,
)


def test_from_producers_to_what_the_groups_make():
    drawn = flow(make_readings())
    assert drawn.producers.note == "12 instances sending"
    (topic,) = drawn.metrics.topics
    assert (topic.key, list(topic.sources), topic.rate) == (f"topic-{METRICS}", ["producers"], 50.0)
    assert topic.note == "1.2 M end offsets"
    ((group, made),) = drawn.metrics.groups
    assert (group.title, list(group.sources), group.rate) == ("gds-alerting", [f"topic-{METRICS}"], 50.0)
    assert (made.title, list(made.sources), made.rate) == ("Alerts", ["group-alerting"], 0.5)


def test_a_topic_that_is_not_there_says_so():
    drawn = flow(make_readings(comparison=Comparison(absent=[REFUSED])))
    (metrics,), (refused,) = drawn.metrics.topics, drawn.dead_letters.topics
    assert (metrics.note, metrics.tone) == ("1.2 M end offsets", "")
    assert (refused.note, refused.tone) == ("not on the cluster", "bad")


def test_dead_letters_have_a_lane_of_their_own_below_all_groups():
    drawn = flow(make_readings())
    (topic,) = drawn.dead_letters.topics
    assert (topic.title, list(topic.sources)) == (REFUSED, ["groups"])
    ((group, made),) = drawn.dead_letters.groups
    assert (group.title, list(group.sources), made.title) == (
        "gds-dlq-index",
        [f"topic-{REFUSED}"],
        "Dead letters",
    )


def test_every_pipeline_of_the_catalogue_is_a_station():
    names = ["alerting", "warehouse", "analytics", "dlq-index", "from-elsewhere"]
    reads = {name: [METRICS] for name in names[:3]} | {"dlq-index": [REFUSED]}
    drawn = flow(make_readings(pipelines=[make_pipeline(name) for name in names], reads=reads))
    shown = [(group.pipeline, made and made.title) for group, made in drawn.metrics.groups]
    assert shown == [
        ("alerting", "Alerts"),
        ("warehouse", "Warehouse"),
        ("analytics", "Analytics"),
        # It has a row in the database and no entry in the catalogue: shown, with no line to it.
        ("from-elsewhere", None),
    ]
    assert list(drawn.metrics.groups[-1][0].sources) == []


@pytest.mark.parametrize(
    ("pipeline", "rate", "live", "consumers"),
    [
        (make_pipeline(rates={0: 12.5}), 12.5, "pipeline.stats:alerting/0:rate_in", ""),
        (make_pipeline(rates={0: None}), None, "pipeline.stats:alerting/0:rate_in", ""),
        (make_pipeline(rates={0: 12.5, 1: None, 2: 4.0}), 16.5, "", "0=12.5 1= 2=4"),
        (make_pipeline(rates={0: None, 1: None}), None, "", "0= 1="),
        (make_pipeline(rates={}), None, "", ""),
    ],
)
def test_a_groups_rate_is_its_consumers_together(pipeline, rate, live, consumers):
    ((group, _),) = flow(make_readings(pipelines=[pipeline])).metrics.groups
    assert (group.rate, group.live, group.consumers) == (rate, live, consumers)
    # What comes of it is told in the same way.
    turned = replace(pipeline, rates={}, rates_out=pipeline.rates)
    ((_, made),) = flow(make_readings(pipelines=[turned])).metrics.groups
    assert (made.rate, made.live, made.consumers) == (rate, live.replace("rate_in", "rate_out"), consumers)


@pytest.mark.parametrize(
    ("changes", "note", "tone"),
    [
        ({}, "1 consumer · lag 0", ""),
        ({"lag": None}, "1 consumer · lag unknown", ""),
        ({"lag": make_lag(make_group("another"))}, "1 consumer · lag unknown", ""),
        ({"lag": make_lag(make_group(total_lag=None, status="unknown"))}, "1 consumer · lag unknown", ""),
        (
            {"lag": make_lag(make_group(total_lag=43_500, status="slow"))},
            "1 consumer · lag 43.5 k",
            "warn",
        ),
        ({"lag": make_lag(make_group(total_lag=5, status="stalled"))}, "1 consumer · lag 5", "bad"),
        (
            {"pipelines": [make_pipeline(running=1, wanted=3, state="starting")]},
            "1 of 3 consumers · lag 0",
            "warn",
        ),
        ({"pipelines": [make_pipeline(state="halted")]}, "1 consumer · lag 0", "bad"),
    ],
)
def test_a_groups_note_tells_consumers_and_lag(changes, note, tone):
    group, _ = flow(make_readings(**changes)).metrics.groups[0]
    assert (group.note, group.tone) == (note, tone)


def test_unknown_is_not_zero():
    readings = make_readings(
        instances=None, metrics=[Topic(METRICS)], dead_letter_topics=[Topic(REFUSED)], lag=None
    )
    drawn = flow(readings)
    assert drawn.producers.note == "senders unknown"
    assert [(node.rate, node.note) for node in drawn.metrics.topics] == [(None, "size unknown")]
    assert flow(make_readings(instances=0)).producers.note == "nobody sends"


@pytest.mark.parametrize(
    ("changes", "lane", "note", "tone"),
    [
        ({"alerts": make_alerts(critical=1, warning=1)}, "metrics", "2 firing", "bad"),
        ({"alerts": make_alerts(warning=1)}, "metrics", "1 firing", "warn"),
        ({}, "metrics", "0 firing", ""),
        ({"dead_letters": DeadLetters(1_234, 2)}, "dead_letters", "1,234 open", "warn"),
        ({}, "dead_letters", "0 open", ""),
    ],
)
def test_what_the_groups_make(changes, lane, note, tone):
    _, made = getattr(flow(make_readings(**changes)), lane).groups[0]
    assert (made.note, made.tone) == (note, tone)
