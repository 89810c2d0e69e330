"""The warehouse step: every metric becomes a point, with its progress or not at all."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from gdsconsole.kafka.partitions import TopicIdPartition
from gdsconsole.kafka.step import Batch
from gdsconsole.pipelines import progress
from topics.telemetry import Metric
from topics.warehouse.points import Points, write_points
from topics.warehouse.series_ids import SeriesIndex, keys_of, origin_ids

LOG = logging.getLogger(__name__)


class WarehouseStep:
    """Step of the warehouse pipeline; its batches carry `Metric` values."""

    def __init__(self, *, group: str, clock: Callable[[], datetime] = timezone.now) -> None:
        self._group = group
        self._clock = clock
        self._series = SeriesIndex()
        # By topic, then by partition.
        self._origins: dict[str, dict[int, int]] = {}
        self.written = 0  # points

    def assigned(self, partitions: Sequence[TopicIdPartition]) -> Mapping[TopicIdPartition, int]:
        for part, origin in origin_ids(partitions).items():
            self._origins.setdefault(part.topic, {})[part.partition] = origin
        return progress.assigned(group=self._group, partitions=partitions)

    def handle(self, batch: Batch[Metric]) -> bool:
        if not batch.records:
            return False
        points = self._points(batch)
        try:
            self._store(batch, points, known=False)
        except IntegrityError:
            # Somebody set the progress back, and some of these are stored.
            LOG.warning("%s: points that are stored already are left as they are", self._group)
            self._store(batch, points, known=True)
        self.written += len(batch.records)
        return True

    def revoked(self, partitions: Sequence[TopicIdPartition]) -> None:
        for part in partitions:
            self._origins.get(part.topic, {}).pop(part.partition, None)

    def tick(self, now: datetime) -> None:
        """Nothing is due between batches."""

    def close(self) -> None:
        """Nothing is held."""

    def _points(self, batch: Batch[Metric]) -> Points:
        records: Sequence[Any] = batch.records
        kind = type(records[0])
        partitions = map(kind.partition, records)
        topics = {part.topic for part in batch.moves}
        if len(topics) == 1:
            origins = list(map(self._origins[topics.pop()].__getitem__, partitions))
        else:
            of_topics = map(self._origins.__getitem__, map(kind.topic, records))
            origins = [numbers[number] for numbers, number in zip(of_topics, partitions, strict=True)]
        return Points(
            origins=origins,
            offsets=list(map(kind.offset, records)),
            series=self._series.ids(keys_of(records, batch.values)),
            metrics=batch.values,
        )

    def _store(self, batch: Batch[Metric], points: Points, *, known: bool) -> None:
        with transaction.atomic():
            progress.advance(group=self._group, moves=batch.moves)
            write_points(points=points, now=self._clock(), known=known)
