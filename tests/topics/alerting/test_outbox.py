"""Alert events on their way to Kafka: sent once by whoever holds them, by the sweep if that one dies."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from confluent_kafka import Consumer
from django.conf import settings as django_settings
from django.utils import timezone

from tests.topics.making import START, MemoryProducer, make_alert_rule
from tests.waiting import wait_until
from topics import tasks
from topics.alerting import services
from topics.alerting.outbox import EventSender, encode_event, sweep, topic_for
from topics.alerting.services import LEASE, Measurement
from topics.models import Alert, AlertEvent, TopicDefinition

pytestmark = pytest.mark.django_db


@pytest.fixture
def event() -> AlertEvent:
    """A firing alert's event that nobody holds, as the lag sampler leaves it."""
    make_alert_rule(name="Lag", source="lag", metric_name="consumer_lag", threshold=10)
    labels = {"group": "gds-warehouse"}
    services.record_measurements([Measurement("lag", "consumer_lag", labels, 11, START)], now=START)
    return AlertEvent.objects.get()


@pytest.fixture
def producer() -> MemoryProducer:
    return MemoryProducer()


@pytest.fixture
def sender(producer: MemoryProducer) -> EventSender:
    return EventSender(lambda: producer)  # type: ignore[arg-type,return-value]


def test_the_message(event: AlertEvent) -> None:
    assert json.loads(encode_event(event)) == {
        "event_id": str(event.event_id),
        "state": "firing",
        "at": "2026-01-15T10:30:00Z",
        "alert_id": event.alert_id,
        "rule": "Lag",
        "severity": "warning",
        "summary": "consumer_lag 11 > 10 on gds-warehouse",
        "labels": {"group": "gds-warehouse"},
        "metric_name": "consumer_lag",
        "operator": ">",
        "threshold": 10.0,
        "value": 11.0,
        "started_at": "2026-01-15T10:30:00Z",
        "reason": "",
        "record": None,
    }


def test_the_sweep_sends_what_nobody_holds_once(
    event: AlertEvent, sender: EventSender, producer: MemoryProducer
) -> None:
    assert sweep(sender=sender, now=START, lease=LEASE) == 1
    assert sweep(sender=sender, now=START, lease=LEASE) == 0
    (topic, _, key, headers) = producer.sent[0]
    assert topic == "gds.alerts.production"
    assert key == Alert.objects.get().fingerprint.encode()
    assert dict(headers)["event-id"] == str(event.event_id).encode()
    event.refresh_from_db()
    assert (event.published_at, event.leased_until) == (START, None)


def test_an_event_somebody_holds_is_theirs_until_the_lease_ends(
    event: AlertEvent, sender: EventSender
) -> None:
    AlertEvent.objects.update(leased_until=START + LEASE)
    assert sweep(sender=sender, now=START + LEASE / 2, lease=LEASE) == 0
    assert sweep(sender=sender, now=START + LEASE, lease=LEASE) == 1


def test_two_sweeps_take_different_events(event: AlertEvent, producer: MemoryProducer) -> None:
    """The second begins while the first still waits for the broker."""
    producer.is_stuck = True
    assert sweep(sender=EventSender(lambda: producer), now=START, lease=LEASE) == 0  # type: ignore[arg-type,return-value]
    other = MemoryProducer()
    assert sweep(sender=EventSender(lambda: other), now=START, lease=LEASE) == 0  # type: ignore[arg-type,return-value]
    assert (len(producer.sent), len(other.sent)) == (1, 0)


def test_a_refused_event_is_tried_again_later_and_later(
    event: AlertEvent, sender: EventSender, producer: MemoryProducer
) -> None:
    producer.error = "UNKNOWN_TOPIC_OR_PART"
    now = START
    waits = []
    for _ in range(4):
        assert sweep(sender=sender, now=now, lease=LEASE) == 0
        event.refresh_from_db()
        assert event.leased_until is not None
        waits.append((event.leased_until - now).total_seconds())
        now = event.leased_until
    assert waits == [1, 2, 4, 8]
    producer.error = None
    assert sweep(sender=sender, now=now, lease=LEASE) == 1


def test_after_a_failure_another_producer_is_made(event: AlertEvent, producer: MemoryProducer) -> None:
    """One that knew the topic before that was deleted and made again waits for leaders that are gone."""
    producer.error, second = "timed out", MemoryProducer()
    made = [second, producer]
    sender = EventSender(lambda: made.pop())  # type: ignore[arg-type,return-value]
    assert sweep(sender=sender, now=START, lease=LEASE) == 0
    assert sweep(sender=sender, now=START + timedelta(minutes=1), lease=LEASE) == 1
    assert len(second.sent) == 1


def test_environments_go_to_their_own_topic_where_there_is_one() -> None:
    declared = {"production": "gds.alerts.production", "staging": "gds.alerts.staging"}
    assert topic_for("staging", declared) == "gds.alerts.staging"
    assert topic_for("qa", declared) == "gds.alerts.production"
    assert topic_for("", declared) == "gds.alerts.production"
    assert topic_for("qa", {}) == "gds.alerts.production"


def test_the_declared_topics_are_asked(
    event: AlertEvent, sender: EventSender, producer: MemoryProducer
) -> None:
    TopicDefinition.objects.create(name="acme.alerts.production")
    sweep(sender=sender, now=START, lease=LEASE)
    assert producer.sent[0][0] == "acme.alerts.production"


def test_the_task_also_closes_what_no_rule_watches(
    event: AlertEvent, sender: EventSender, producer: MemoryProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "_sender", sender)
    alert = Alert.objects.get()
    type(alert.rule).objects.update(enabled=False)
    assert tasks.publish_alert_events() == 2
    assert [json.loads(value)["state"] for _, value, _, _ in producer.sent] == ["firing", "resolved"]


@pytest.mark.kafka
def test_events_arrive_on_kafka_with_their_id(
    topic_factory: Callable[..., str], event: AlertEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = topic_factory(f"t{uuid.uuid4().hex[:10]}.alerts.production", partitions=1)
    TopicDefinition.objects.create(name=topic, partitions=1)
    sender = EventSender()
    assert sweep(sender=sender, now=timezone.now(), lease=LEASE) == 1
    sender.close(now=timezone.now())
    consumer = Consumer(
        {
            "bootstrap.servers": django_settings.KAFKA_BOOTSTRAP_SERVERS,
            "group.id": f"tests-{uuid.uuid4()}",
            "auto.offset.reset": "earliest",
        }
    )
    try:
        consumer.subscribe([topic])
        record: Any = wait_until(lambda: consumer.poll(1.0), 30, "the event arrives")
    finally:
        consumer.close()
    assert json.loads(record.value())["event_id"] == str(event.event_id)
    assert dict(record.headers())["event-id"] == str(event.event_id).encode()


@pytest.mark.kafka
def test_kafka_down_leaves_the_event_for_later(event: AlertEvent, settings: Any, monkeypatch: Any) -> None:
    settings.KAFKA_BOOTSTRAP_SERVERS = "127.0.0.1:9"
    monkeypatch.setattr("topics.alerting.outbox.FLUSH_S", 0.5)
    sender = EventSender()
    assert sweep(sender=sender, now=START, lease=LEASE) == 0
    event.refresh_from_db()
    assert event.published_at is None
    assert event.leased_until == START + LEASE
    sender.close(now=START + timedelta(seconds=1))
