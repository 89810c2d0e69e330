"""Alert events on their way to Kafka, and to open pages.

An event row is written in the transaction of its alert's change. It is sent afterwards by the process
that wrote it, or else by the sweep; `published_at` is set when the broker has acknowledged it. A crash
between the two sends it again with the same `event_id`, which is its idempotency key.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q

from gdsconsole.env import TRANSACTIONAL
from gdsconsole.kafka.clients import Headers, Producer, new_producer
from gdsconsole.pipelines.connection import kafka_settings
from topics import naming
from topics.models import Alert, AlertEvent, TopicDefinition

LOG = logging.getLogger(__name__)
# Less than the lease on an event, so that its sender has given up before another begins.
DELIVERY_TIMEOUT_MS = 20_000
SWEEP_LIMIT = 500
FLUSH_S = 15.0
LONGEST_WAIT_S = 300
DEFAULT_ENVIRONMENT = "production"


def alert_changed(alert: Alert) -> dict[str, Any]:
    """The `alert.changed` frame of an alert; its rule is read if it isn't loaded."""
    return {
        "id": alert.pk,
        "rule": alert.rule.name,
        "severity": alert.severity,
        "state": alert.state,
        "labels": alert.labels,
        "value": alert.last_value,
        "threshold": alert.threshold,
        "operator": alert.operator,
        "since": alert.started_at.isoformat(),
        "summary": alert.summary,
        "url": alert.get_absolute_url(),
        "acknowledged": alert.acknowledged_at is not None,
    }


def encode_event(event: AlertEvent) -> bytes:
    """The message sent to the alerts topic, as JSON."""
    alert = event.alert
    return msgspec.json.encode(
        {
            "event_id": str(event.event_id),
            "state": event.state,
            "at": event.at.astimezone(UTC),
            "alert_id": alert.pk,
            "rule": alert.rule.name,
            "severity": alert.severity,
            "summary": alert.summary,
            "labels": alert.labels,
            "metric_name": alert.metric_name,
            "operator": alert.operator,
            "threshold": alert.threshold,
            "value": event.value,
            "started_at": alert.started_at.astimezone(UTC),
            "reason": event.reason,
            "record": {"topic": alert.topic, "partition": alert.partition, "offset": alert.offset}
            if alert.topic is not None
            else None,
        }
    )


def event_headers(event: AlertEvent) -> Headers:
    """The idempotency key, readable without the value."""
    return [("event-id", str(event.event_id).encode()), ("content-type", b"application/json")]


def alert_topics() -> dict[str, str]:
    """The declared alert topic of each environment."""
    declared = (topic.parsed for topic in TopicDefinition.objects.enabled())
    return {
        name.environment: str(name)
        for name in declared
        if name.domain == naming.ALERTS and name.signal is None and name.environment is not None
    }


def topic_for(environment: str, declared: dict[str, str]) -> str:
    """Where events of an environment go. One without a topic of its own shares production's."""
    default = naming.alerts_topic(settings.GDS_ORGANIZATION, DEFAULT_ENVIRONMENT)
    return declared.get(environment) or declared.get(DEFAULT_ENVIRONMENT) or default


class EventSender:
    """Sends events and marks those the broker acknowledged. Made and used by one thread of one process.

    The producer is made at the first event, because most processes never have one.
    """

    # What isn't sent is left to the sweep.
    in_transactions = False

    def __init__(self, make_producer: Callable[[], Producer] | None = None) -> None:
        self._make_producer = make_producer or _event_producer
        self._producer: Producer | None = None
        self._topics: dict[str, str] | None = None
        self._acknowledged: list[int] = []
        self._failed: dict[int, str] = {}

    def send(self, events: Iterable[AlertEvent]) -> None:
        """Hand events to the producer; what doesn't fit into its queue is left to the sweep."""
        for event in events:
            if self._topics is None:
                self._topics = alert_topics()
            self._producer = self._producer or self._make_producer()
            pk, topic = event.pk, topic_for(event.alert.environment, self._topics)
            try:
                self._producer.produce(
                    topic,
                    encode_event(event),
                    event.alert.fingerprint.encode(),
                    on_delivery=lambda error, _record, pk=pk: self._delivered(pk, error),
                    headers=event_headers(event),
                )
            except BufferError:
                self._failed[pk] = "the producer's queue is full"

    def settle(self, *, now: datetime, wait_s: float = 0.0) -> int:
        """Mark what has been acknowledged since, waiting at most `wait_s` for the rest; returns how many.

        Whatever was not delivered is released to the sweep, later after each failure.
        """
        if self._producer is not None:
            if wait_s:
                self._producer.flush(wait_s)
            else:
                self._producer.poll(0)
        done, failed = self._acknowledged, self._failed
        if not done and not failed:
            return 0
        with transaction.atomic():
            AlertEvent.objects.filter(pk__in=done).update(published_at=now, leased_until=None)
            for pk, reason in failed.items():
                _postpone(pk, now, reason)
        self._acknowledged, self._failed = [], {}
        if failed:
            # The topics are read again, in case what failed is a topic that has been declared since. One that
            # was deleted and made again gets nothing from a producer that knew it before.
            self._topics = None
            if self._producer is not None and not len(self._producer):
                self._producer = None
        return len(done)

    def close(self, *, now: datetime) -> None:
        """Wait for what is on its way; the sweep takes over the rest when its lease ends."""
        self.settle(now=now, wait_s=5.0)
        if self._producer is not None and len(self._producer):
            self._producer.purge()
            self._producer.flush(1.0)

    def _delivered(self, pk: int, error: Any) -> None:
        if error is None:
            self._acknowledged.append(pk)
        else:
            self._failed[pk] = str(error)


def sweep(*, sender: EventSender, now: datetime, lease: timedelta) -> int:
    """Send the events nobody holds; returns how many the broker acknowledged.

    Claiming is a short transaction of its own, so two sweeps at once take different events. In the
    transactional mode an event with a source record is its pipeline's to send: it may be sent already,
    which only the pipeline can tell.
    """
    mine = Q(source_offset=None) if settings.GDS_ALERT_EVENTS == TRANSACTIONAL else Q()
    with transaction.atomic():
        free = AlertEvent.objects.unpublished().filter(mine, Q(leased_until=None) | Q(leased_until__lte=now))
        claimed = list(
            free.order_by("pk").select_for_update(skip_locked=True).values_list("pk", flat=True)[:SWEEP_LIMIT]
        )
        AlertEvent.objects.filter(pk__in=claimed).update(leased_until=now + lease)
    if not claimed:
        return 0
    sender.send(AlertEvent.objects.filter(pk__in=claimed).select_related("alert__rule").order_by("pk"))
    return sender.settle(now=now, wait_s=FLUSH_S)


def _postpone(pk: int, now: datetime, reason: str) -> None:
    event = AlertEvent.objects.only("attempts").get(pk=pk)
    wait_s = min(2**event.attempts, LONGEST_WAIT_S)
    LOG.warning("alert event %s not sent, again in %s s: %s", pk, wait_s, reason)
    AlertEvent.objects.filter(pk=pk).update(
        attempts=F("attempts") + 1, leased_until=now + timedelta(seconds=wait_s)
    )


def _event_producer() -> Producer:
    return new_producer(
        kafka_settings(),
        client_id="gds-alert-events",
        # An alert is worth more now than a full batch later.
        linger_ms=5,
        delivery_timeout_ms=DELIVERY_TIMEOUT_MS,
    )
