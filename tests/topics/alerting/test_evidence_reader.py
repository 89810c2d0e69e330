"""The evidence of an alert, read from the records around it on a real cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Producer

from gdsconsole.devstack.kafka_cluster import KafkaCluster
from gdsconsole.kafka.browsing.record_window import RecordWindow
from tests.factories import make_record
from tests.topics.making import START, make_alert, make_sample
from topics.alerting import evidence_reader
from topics.alerting.evidence_reader import read_evidence
from topics.models import Alert
from topics.telemetry import Metric, encode_metric

pytestmark = pytest.mark.django_db


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[tuple[int, int]]]:
    """`told([records], [records])` answers one reading after another; returns what was asked for."""

    def say(*answers: list[Any], is_whole: bool = True) -> list[tuple[int, int]]:
        asked: list[tuple[int, int]] = []
        waiting = list(answers)

        def read(settings: Any, topic: str, partition: int, *, first: int, last: int, budget_s: float) -> Any:
            asked.append((first, last))
            return RecordWindow(waiting.pop(0), is_whole, 0, 10**6)

        monkeypatch.setattr(evidence_reader, "read_window", read)
        return asked

    return say


def records(*metrics: Metric | bytes, first: int = 0) -> list[Any]:
    return [
        make_record(offset=first + n, value=one if isinstance(one, bytes) else encode_metric(one))
        for n, one in enumerate(metrics)
    ]


def alert_at(offset: int, **changes: Any) -> Alert:
    return make_alert(topic="gds.metrics.production", partition=0, offset=offset, **changes)


@pytest.mark.kafka
def test_from_the_records_on_the_cluster(
    kafka: KafkaCluster, topic_factory: Callable[..., str], settings: Any
) -> None:
    settings.KAFKA_BOOTSTRAP_SERVERS = kafka.bootstrap_servers
    topic = topic_factory(partitions=1)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for second in range(-40, 40):
        producer.produce(topic, encode_metric(make_sample(40 if second < 0 else 90, second)), b"a-key")
        producer.produce(topic, encode_metric(make_sample(5, second, instance_id="prod-db-02")))
        memory = 30 if second < 0 else 70
        producer.produce(topic, encode_metric(make_sample(memory, second, metric_name="memory_used_percent")))
        producer.produce(topic, b"no metric at all")
    assert producer.flush(30) == 0
    alert = make_alert(topic=topic, partition=0, offset=160, acknowledged_at=START)

    told = read_evidence(alert, live="")

    assert told.note == "80 samples from 320 records around it."
    [series] = told.chart["series"]
    assert series["values"] == [40.0] * 40 + [90.0] * 40
    assert told.chart["thresholds"] == [{"value": 80.0, "label": "fires >", "tone": "bad"}]
    assert [event["label"] for event in told.chart["events"]] == ["fired", "acknowledged"]
    assert told.record is not None
    assert (told.record["key"], told.record["value"]) == ("a-key", encode_metric(make_sample(90, 0)))
    assert [(other["metric_name"], other["verdict"]) for other in told.others] == [
        ("memory_used_percent", "moved with it")
    ]


@pytest.mark.parametrize(
    "there",
    [
        make_sample(90, instance_id="prod-db-02"),
        make_sample(90, metric_name="memory_used_percent"),
        b"no metric at all",
    ],
)
def test_a_record_about_something_else_is_not_shown_as_the_cause(
    told: Callable[..., Any], there: Metric | bytes
) -> None:
    """A topic that was made anew begins at offset 0 again."""
    told(records(make_sample(90), there))
    assert read_evidence(alert_at(1), live="").record is None


def test_a_record_that_retention_took(told: Callable[..., Any]) -> None:
    told(records(make_sample(91, 5), first=100))
    found = read_evidence(alert_at(17), live="")
    assert (found.record, found.error) == (None, "")


def test_a_window_cut_short_still_finds_the_cause(told: Callable[..., Any]) -> None:
    asked = told(records(make_sample(90)), records(make_sample(90), first=5_000), is_whole=False)
    found = read_evidence(alert_at(5_000), live="")
    assert asked == [(1_000, 17_000), (5_000, 5_000)]
    assert found.record is not None
    assert found.note.endswith("around it, cut short.")


def test_without_samples_around_it_the_stored_values_are_drawn(told: Callable[..., Any]) -> None:
    told([])
    [series] = read_evidence(alert_at(3), live="").chart["series"]
    assert series["values"] == [91.0]


def test_the_chart_stays_with_the_alert(told: Callable[..., Any]) -> None:
    """Two minutes before and after a short one, not the hours of traffic around it."""
    told(records(*[make_sample(50, second) for second in range(-600, 600, 10)]))
    over = alert_at(3, state="resolved", resolved_at=START)
    times = read_evidence(over, live="").chart["times"]
    assert (times[0], times[-1]) == (START.timestamp() - 120, START.timestamp() + 120)


def test_an_old_alerts_chart_is_not_fed_with_new_values(told: Callable[..., Any]) -> None:
    told([])
    assert "live" not in read_evidence(alert_at(3), live="metric.newest:a/b:value").chart["series"][0]
