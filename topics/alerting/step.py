"""The alerting step: judges every metric by the rules in force.

Nearly every record breaks no rule, and for those a batch costs one pass of `RuleBook.suspects`: no
query, no transaction, no object. Only an alert that opens, fires or resolves makes a transaction, and
that one moves the partitions' progress too, so a batch that is delivered again changes nothing.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from time import monotonic

from django.db import transaction
from django.utils import timezone

from gdsconsole.kafka.clients import Record
from gdsconsole.kafka.errors import TransientError
from gdsconsole.kafka.partitions import TopicIdPartition
from gdsconsole.kafka.step import Batch
from gdsconsole.kafka.timestamps import written_at
from gdsconsole.live.publish import publish
from gdsconsole.pipelines import progress
from topics import naming
from topics.alerting.evaluation import Coordinates, Draft, OpenAlerts, Sample, Series
from topics.alerting.outbox import EventSender, alert_changed
from topics.alerting.rules import Rule, RuleBook, metric_labels
from topics.alerting.services.alerts import (
    LEASE,
    AlertsMoved,
    StoredDrafts,
    open_alerts,
    refresh_alerts,
    resolve_quiet,
    rules_in_force,
    store_drafts,
)
from topics.alerting.transactional_outbox import TransactionalEvents
from topics.event_time import WINDOW, EventTime, event_time, sent_at
from topics.models import Source
from topics.telemetry import Metric

LOG = logging.getLogger(__name__)
REFRESH = timedelta(seconds=5)
NEWEST_EVERY_S = 0.25
NEWEST_AT_MOST = 40
SERIES_KEPT = 50_000


class RulesStep:
    """Step of the alerting pipeline; its batches carry `Metric` values.

    An edit to a rule takes effect at the next `tick`, about a second later.
    """

    def __init__(
        self,
        *,
        group: str,
        sender: EventSender | TransactionalEvents | None = None,
        clock: Callable[[], datetime] = timezone.now,
        window: timedelta = WINDOW,
    ) -> None:
        self._group = group
        self._window = window
        self._sender: EventSender | TransactionalEvents = sender or EventSender()
        self._clock = clock
        self._ledger = OpenAlerts()
        self._book = RuleBook(())
        self._rules: dict[int, Rule] = {}
        self._series: dict[tuple[object, ...], Series | None] = {}
        self._environments: dict[str, str | None] = {}
        self._newest: deque[tuple[Metric, Record]] = deque(maxlen=NEWEST_AT_MOST)
        self._newest_due = 0.0
        self.written = 0  # alert events

    def assigned(self, partitions: Sequence[TopicIdPartition]) -> Mapping[TopicIdPartition, int]:
        self._reload_rules()
        self._reload_alerts()
        return progress.assigned(group=self._group, partitions=partitions)

    def handle(self, batch: Batch[Metric]) -> bool:
        newest = slice(-NEWEST_AT_MOST, None)
        self._newest.extend(zip(batch.values[newest], batch.records[newest], strict=True))
        self._show_newest()
        suspects = self._book.suspects(batch.values)
        if not suspects:
            return False
        for _ in range(3):
            try:
                return self._apply(batch, self._samples(batch, suspects))
            except AlertsMoved as moved:
                LOG.info("judging a batch again: %s", moved)
                self._reload_alerts()
        raise TransientError("the alerts of a batch kept moving under it")

    def revoked(self, partitions: Sequence[TopicIdPartition]) -> None:
        # Another consumer sees their samples from here on, so what was observed here proves nothing more.
        for alert in self._ledger.alerts.values():
            alert.good_seen_at = None

    def tick(self, now: datetime) -> None:
        if self._reload_rules():
            self._reload_alerts()
        self._resolve_quiet(now)
        self._refresh(now)
        self._book.watch(self._ledger.open_series())
        self._sender.settle(now=now)
        self._show_newest()

    def close(self) -> None:
        self._sender.close(now=self._clock())

    def _apply(self, batch: Batch[Metric], samples: Sequence[Sample]) -> bool:
        now = self._clock()
        drafts = self._ledger.draft(samples)
        with_effect = [draft for draft in drafts if draft.has_effect]
        if not with_effect:
            self._ledger.accept(drafts, {}, now)
            return False
        with transaction.atomic():
            progress.advance(group=self._group, moves=batch.moves)
            stored = store_drafts(
                drafts=with_effect,
                now=now,
                leased_until=now + LEASE,
                in_transactions=self._sender.in_transactions,
            )
        self._take(drafts, with_effect, stored, now)
        return True

    def _take(
        self, drafts: Sequence[Draft], written: Sequence[Draft], stored: StoredDrafts, now: datetime
    ) -> None:
        """What follows a commit. It can't undo the batch; only a transaction that lacks its events may."""
        self._ledger.accept([draft for draft in drafts if not draft.has_effect], {}, now)
        self._ledger.accept(written, stored.ids, now)
        self._book.watch(self._ledger.open_series())
        self._announce(stored)

    def _announce(self, stored: StoredDrafts) -> None:
        self.written += len(stored.events)
        for alert in stored.changed:
            publish("alert.changed", str(alert.pk), alert_changed(alert))
        try:
            self._sender.send(stored.events)
        except Exception:
            if self._sender.in_transactions:
                # No offset may be committed without its events: the batch is read again, and finds them.
                raise
            # Committed already: the sweep sends them when their lease ends.
            LOG.exception("%d alert events were left to the sweep", len(stored.events))

    def _samples(self, batch: Batch[Metric], suspects: Sequence[int]) -> list[Sample]:
        latest = self._clock()
        samples = []
        for position in suspects:
            metric, record = batch.values[position], batch.records[position]
            topic = record.topic() or ""
            time = self._time_of(metric, record, latest)
            found: Coordinates | None = None
            for rule in self._book.of(metric.metric_name):
                series = self._series_of(rule, metric, topic)
                if series is None:
                    continue
                found = found or _coordinates(record)
                samples.append(Sample(series, metric.value, time.at, found, time.told))
        return samples

    def _time_of(self, metric: Metric, record: Record, now: datetime) -> EventTime:
        sent = sent_at(written_at(record), now=now)
        return event_time(metric.timestamp, sent=sent, now=now, window=self._window)

    def _series_of(self, rule: Rule, metric: Metric, topic: str) -> Series | None:
        """The metric's series under the rule, or None where the rule doesn't cover it."""
        tags = metric.tags
        seen = (rule.id, topic, metric.database_type, metric.instance_id, *map(tags.get, rule.tags))
        if seen in self._series:
            return self._series[seen]
        labels = metric_labels(rule, metric, self._environment(topic))
        subject = labels["instance_id"]
        series = Series(rule, subject, labels) if rule.covers(subject=subject, labels=labels) else None
        if len(self._series) >= SERIES_KEPT:
            self._series.clear()
        self._series[seen] = series
        return series

    def _environment(self, topic: str) -> str | None:
        if topic not in self._environments:
            self._environments[topic] = naming.environment_of(topic)
        return self._environments[topic]

    def _reload_rules(self) -> bool:
        """Read the rules; True when they are not what they were. Comparing them whole misses no edit."""
        rules = rules_in_force(Source.METRIC)
        if rules == self._book.rules:
            return False
        self._book = RuleBook(rules)
        self._rules = {rule.id: rule for rule in rules}
        self._series.clear()
        return True

    def _reload_alerts(self) -> None:
        self._ledger.replace(open_alerts(Source.METRIC))
        self._book.watch(self._ledger.open_series())

    def _resolve_quiet(self, now: datetime) -> None:
        quiet = self._ledger.quiet(self._rules, now)
        if not quiet:
            return
        stored = resolve_quiet(alerts=[alert for _, alert in quiet], now=now, leased_until=now + LEASE)
        for key, _ in quiet:
            self._ledger.alerts.pop(key, None)
        self._book.watch(self._ledger.open_series())
        self._announce(stored)

    def _refresh(self, now: datetime) -> None:
        due = [
            alert
            for alert in self._ledger.alerts.values()
            if alert.is_dirty and now - alert.stored_at >= REFRESH
        ]
        if due and not refresh_alerts(alerts=due, now=now):
            # One was closed elsewhere: its series must be able to fire again.
            self._reload_alerts()

    def _show_newest(self) -> None:
        """Send the newest values since the last time to open pages: all of few, a sample of many."""
        if not self._newest or monotonic() < self._newest_due:
            return
        self._newest_due = monotonic() + NEWEST_EVERY_S
        now = self._clock()
        for metric, record in self._newest:
            topic = record.topic() or ""
            time = self._time_of(metric, record, now)
            publish(
                "metric.newest",
                f"{metric.instance_id}/{metric.metric_name}",
                {
                    "instance_id": metric.instance_id,
                    "database_type": metric.database_type,
                    "metric_name": metric.metric_name,
                    "value": metric.value,
                    "timestamp": time.at.isoformat(),
                    "time_told": time.told,
                    "environment": metric.tags.get("environment") or self._environment(topic),
                    "topic": topic,
                    "partition": record.partition(),
                    "offset": record.offset(),
                },
            )
        self._newest.clear()


def _coordinates(record: Record) -> Coordinates:
    return Coordinates(record.topic() or "", record.partition() or 0, record.offset() or 0)
