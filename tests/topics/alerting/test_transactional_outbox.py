"""Alert events in Kafka transactions: what is in the database and what is committed always agree."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone

from gdsconsole.kafka.producing.sender import OutgoingRecord
from tests.topics.making import GROUP, START, TOPIC, Feed, MemoryProducer, make_alert_rule, make_sample
from topics.alerting import transactional_outbox
from topics.alerting.outbox import EventSender, sweep
from topics.alerting.services import LEASE, acknowledge_alert
from topics.alerting.step import RulesStep
from topics.alerting.transactional_outbox import TransactionalEvents
from topics.models import AlertEvent

pytestmark = pytest.mark.django_db(transaction=True)
PLACE = (TOPIC, 0)


class Handed:
    """What the step has sent on."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, OutgoingRecord]] = []

    def send(self, topic: str, records: list[OutgoingRecord]) -> None:
        self.sent += [(topic, record) for record in records]

    @property
    def values(self) -> list[float]:
        return [json.loads(record.value or b"")["value"] for _, record in self.sent]


class Consumer:
    """An alerting consumer; another one is the next process, with the same database."""

    def __init__(self, committed: int | None = None, topic_id: str = "topic-id") -> None:
        self.onward = Handed()
        self.producer = MemoryProducer()
        others = EventSender(lambda: self.producer)  # type: ignore[arg-type,return-value]
        self.events = TransactionalEvents(self.onward, others=others)  # type: ignore[arg-type]
        self.step = RulesStep(group=GROUP, sender=self.events, clock=lambda: START + timedelta(days=1))
        self.feed = Feed()
        self.feed.partition = self.feed.partition._replace(topic_id=topic_id)
        stored = self.step.assigned([self.feed.partition])[self.feed.partition]
        self.feed.stored = self.feed.next = stored
        self.events.placed({self.feed.partition: (committed, stored)})

    def handle(self, *metrics: Any) -> None:
        self.feed.settle(self.step.handle(self.feed.batch(*metrics)))

    def commits(self, offset: int) -> None:
        self.events.committed({PLACE: offset})
        self.events.settle(now=timezone.now())


@pytest.fixture(autouse=True)
def rule(settings: Any) -> None:
    settings.GDS_ALERT_EVENTS = "transactional"
    make_alert_rule()


def unpublished() -> list[float]:
    return list(AlertEvent.objects.unpublished().order_by("pk").values_list("value", flat=True))


def hot(number: int) -> Any:
    return make_sample(81.0 + number, instance_id=f"prod-db-{number:02}")


def test_an_event_goes_in_the_transaction_and_is_sent_when_its_offset_is_committed() -> None:
    consumer = Consumer()
    consumer.handle(make_sample(40.0), hot(0), hot(1))
    [(topic, record), _] = consumer.onward.sent
    event = AlertEvent.objects.earliest("pk")
    assert topic == "gds.alerts.production"
    assert record.headers == [
        ("event-id", str(event.event_id).encode()),
        ("content-type", b"application/json"),
    ]
    assert (event.source_topic, event.source_partition, event.source_offset) == (TOPIC, 0, 1)
    consumer.commits(2)
    assert unpublished() == [82.0]
    consumer.commits(3)
    assert unpublished() == []
    assert consumer.producer.sent == []


def test_after_a_crash_before_the_commit_the_next_consumer_sends_them() -> None:
    Consumer().handle(hot(0), hot(1))
    after = Consumer(committed=1)
    assert after.onward.values == [82.0]
    after.events.settle(now=timezone.now())
    assert unpublished() == [82.0]
    after.commits(2)
    assert unpublished() == []


def test_after_a_crash_behind_the_commit_the_next_consumer_only_marks_them() -> None:
    Consumer().handle(hot(0), hot(1))
    after = Consumer(committed=2)
    assert after.onward.sent == []
    after.events.settle(now=timezone.now())
    assert unpublished() == []


def test_what_an_aborted_transaction_held_is_sent_again_when_the_partition_is_placed() -> None:
    consumer = Consumer()
    consumer.handle(hot(0))
    consumer.commits(1)
    consumer.handle(hot(1))
    consumer.onward.sent.clear()
    consumer.events.placed({consumer.feed.partition: (1, 2)})
    assert consumer.onward.values == [82.0]


def test_events_of_a_topic_that_was_made_again_are_left_to_the_sweep() -> None:
    Consumer().handle(hot(0), hot(1))
    after = Consumer(committed=None, topic_id="another")
    assert after.onward.sent == []
    after.commits(50)
    assert unpublished() == [81.0, 82.0]
    assert sweep_now() == 2


def test_the_sweep_leaves_them_to_their_pipeline_while_the_mode_is_on(settings: Any) -> None:
    Consumer().handle(hot(0))
    assert sweep_now() == 0
    settings.GDS_ALERT_EVENTS = "outbox"
    assert sweep_now() == 1


def sweep_now() -> int:
    sender = EventSender(MemoryProducer)  # type: ignore[arg-type]
    return sweep(sender=sender, now=datetime.now(START.tzinfo) + timedelta(days=2), lease=LEASE)


def test_an_event_without_a_record_goes_by_the_outbox(django_user_model: Any) -> None:
    consumer = Consumer()
    consumer.handle(hot(0))
    alert = AlertEvent.objects.get().alert
    user = django_user_model.objects.create_user("operator")
    acknowledged = acknowledge_alert(alert=alert, actor=user, now=timezone.now())
    assert acknowledged.source_offset is None
    assert sweep_now() == 1
    consumer.events.send([acknowledged])
    assert [json.loads(value)["state"] for _, value, _, _ in consumer.producer.sent] == ["acknowledged"]


def test_a_batch_whose_events_could_not_be_handed_on_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were it to pass, its offsets would be committed without its events."""
    consumer = Consumer()

    def locked() -> dict[str, str]:
        raise OperationalError("database is locked")

    monkeypatch.setattr(transactional_outbox, "alert_topics", locked)
    with pytest.raises(OperationalError):
        consumer.handle(hot(0))
    monkeypatch.undo()
    assert Consumer(committed=0).onward.values == [81.0]


def test_by_the_outbox_no_event_has_a_source(settings: Any) -> None:
    settings.GDS_ALERT_EVENTS = "outbox"
    producer = MemoryProducer()
    step = RulesStep(group=GROUP, sender=EventSender(lambda: producer))  # type: ignore[arg-type,return-value]
    feed = Feed()
    step.assigned([feed.partition])
    feed.settle(step.handle(feed.batch(hot(0))))
    assert AlertEvent.objects.get().source_offset is None
    assert len(producer.sent) == 1
