"""The analytics step: every series' figures of every minute, with the progress or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from gdsconsole.kafka.partitions import TopicIdPartition
from gdsconsole.kafka.step import Batch
from gdsconsole.kafka.timestamps import written_at
from gdsconsole.pipelines import progress
from topics.event_time import sent_at
from topics.models import MetricMinute
from topics.telemetry import Metric
from topics.warehouse.aggregates import minutes_of, moment_of, summarized
from topics.warehouse.rollups import add_figures
from topics.warehouse.series_ids import SeriesIndex, keys_of


class AnalyticsStep:
    """Step of the analytics pipeline; its batches carry `Metric` values."""

    def __init__(
        self, *, group: str, window: timedelta, clock: Callable[[], datetime] = timezone.now
    ) -> None:
        self._group = group
        self._window = window
        self._clock = clock
        self._series = SeriesIndex()
        self.written = 0  # minutes, each as often as it was added to

    def assigned(self, partitions: Sequence[TopicIdPartition]) -> Mapping[TopicIdPartition, int]:
        return progress.assigned(group=self._group, partitions=partitions)

    def handle(self, batch: Batch[Metric]) -> bool:
        if not batch.records:
            return False
        now = self._clock()
        minutes = minutes_of(
            series=self._series.ids(keys_of(batch.records, batch.values)),
            metrics=batch.values,
            sent=[sent_at(written_at(record), now=now) for record in batch.records],
            window=self._window,
        )
        additions = {
            (series, moment_of(minute)): summarized(addition)
            for (series, minute), addition in minutes.items()
        }
        with transaction.atomic():
            progress.advance(group=self._group, moves=batch.moves)
            add_figures(MetricMinute, additions)
        self.written += len(additions)
        return True

    def revoked(self, partitions: Sequence[TopicIdPartition]) -> None:
        """Nothing is held for a partition."""

    def tick(self, now: datetime) -> None:
        """Nothing is due between batches."""

    def close(self) -> None:
        """Nothing is held."""
