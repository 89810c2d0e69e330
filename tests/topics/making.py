"""What the tests of alerts need: rules, metrics as batches, and a producer that remembers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from confluent_kafka import TIMESTAMP_CREATE_TIME

from gdsconsole.kafka.partitions import TopicIdPartition
from gdsconsole.kafka.step import Batch
from gdsconsole.pipelines import progress
from tests.factories import make_record
from topics.alerting.rules import fingerprint
from topics.models import Alert, AlertRule
from topics.telemetry import Metric, encode_metric

GROUP = "gds-alerting"
TOPIC = "gds.metrics.production"
START = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)


def make_alert_rule(**changes: Any) -> AlertRule:
    fields: dict[str, Any] = {"name": "CPU high", "metric_name": "cpu_usage_percent", "threshold": 80.0}
    return AlertRule.objects.create(**fields | changes)


def make_alert(rule: AlertRule | None = None, instance: str = "prod-db-01", **changes: Any) -> Alert:
    """A stored firing alert of the rule; `save=False` leaves it, and a rule it makes, unsaved."""
    save = changes.pop("save", True)
    if rule is None:
        rule = make_alert_rule() if save else AlertRule(name="CPU high", metric_name="cpu_usage_percent")
    labels = changes.setdefault(
        "labels", {"database_type": "postgresql", "instance_id": instance, "environment": "production"}
    )
    fields: dict[str, Any] = {
        "rule": rule,
        "fingerprint": fingerprint(labels),
        "subject": instance,
        "environment": "production",
        "state": "firing",
        "severity": rule.severity,
        "metric_name": rule.metric_name,
        "operator": rule.operator,
        "threshold": 80.0,
        "value": 85.5,
        "last_value": 91.0,
        "started_at": START,
        "fired_at": START,
        "last_sample_at": START,
        "changed_at": START,
    }
    alert = Alert(**fields | changes)
    if save:
        alert.save()
    return alert


def make_sample(value: float = 85.5, second: float = 0, **changes: Any) -> Metric:
    fields: dict[str, Any] = {
        "timestamp": START + timedelta(seconds=second),
        "database_type": "postgresql",
        "instance_id": "prod-db-01",
        "metric_name": "cpu_usage_percent",
        "value": value,
        "tags": {"environment": "production"},
    }
    return Metric(**fields | changes)


def partition(number: int = 0) -> TopicIdPartition:
    return TopicIdPartition(TOPIC, number, "topic-id", "cluster-id")


class Feed:
    """A partition's records in order, handed over as the runtime does."""

    def __init__(self, number: int = 0, *, group: str = GROUP) -> None:
        self.partition = partition(number)
        self.group = group
        self.stored = 0
        self.next = 0

    def batch(
        self, *metrics: Metric, at: int | None = None, sent_at: datetime | None = None
    ) -> Batch[Metric]:
        """The metrics as the next records, or as those from offset `at`; sent when measured, or `sent_at`."""
        first = self.next if at is None else at
        records = [
            make_record(
                topic=TOPIC,
                partition=self.partition.partition,
                offset=first + n,
                value=encode_metric(metric),
                timestamp=(TIMESTAMP_CREATE_TIME, round((sent_at or metric.timestamp).timestamp() * 1000)),
            )
            for n, metric in enumerate(metrics)
        ]
        self.next = first + len(metrics)
        return Batch(records, list(metrics), {self.partition: (self.stored, self.next)})

    def settle(self, is_stored: bool) -> None:
        if is_stored:
            self.stored = self.next

    def stored_offset(self) -> int:
        return progress.load(group=self.group, partitions=[self.partition])[self.partition]


class MemoryProducer:
    """Keeps what it is given; `poll` and `flush` acknowledge it, or fail it with `error`."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, bytes, list[tuple[str, bytes]]]] = []
        self.waiting: list[Callable[[Any, Any], None]] = []
        self.error: Any = None
        self.is_full = False
        self.is_stuck = False

    def produce(self, topic: str, value: bytes, key: bytes, *, on_delivery: Any, headers: Any) -> None:
        if self.is_full:
            raise BufferError("queue full")
        self.sent.append((topic, value, key, headers))
        self.waiting.append(on_delivery)

    def poll(self, timeout: float = 0) -> int:
        if self.is_stuck:
            return 0
        reports: Sequence[Callable[[Any, Any], None]] = self.waiting
        self.waiting = []
        for report in reports:
            report(self.error, None)
        return len(reports)

    def flush(self, timeout: float = 0) -> int:
        self.poll()
        return len(self.waiting)

    def purge(self) -> None:
        self.waiting = []

    def __len__(self) -> int:
        return len(self.waiting)
