"""Bounds what the samples take: every tick of the last minutes, then one a minute, then nothing.

A group has at most 120 + 1,440 rows. Those past the first ten minutes keep no partitions: a row of a
group of 12 partitions takes 4 kB with them and 0.2 kB without.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from lag.models import BrokerSample, GroupSample

KEEP = timedelta(hours=24)
# Longer than verdicts look back.
GROUP_TICKS = timedelta(minutes=10)
BROKER_TICKS = timedelta(hours=1)
# A short transaction each: SQLite has one writer, and the pipelines wait for it.
_TICKS_AT_ONCE = 20


def prune_samples(*, now: datetime) -> int:
    """Delete what is too old and thin what is no longer new; how many rows were deleted."""
    deleted = 0
    for model, recent in ((GroupSample, GROUP_TICKS), (BrokerSample, BROKER_TICKS)):
        ticks = list(
            model.objects.filter(sampled_at__lt=now - recent)
            .order_by("sampled_at")
            .values_list("sampled_at", flat=True)
            .distinct()
        )
        for chosen in _batches(surplus(ticks, oldest=now - KEEP)):
            deleted += model.objects.filter(sampled_at__in=chosen).delete()[0]
    thinned = GroupSample.objects.filter(sampled_at__lt=now - GROUP_TICKS, partitions__isnull=False)
    thinned.update(partitions=None)
    return deleted


def surplus(ticks: Iterable[datetime], *, oldest: datetime) -> list[datetime]:
    """Of these times in their order, those before `oldest` and all but the first of each minute. Pure."""
    dropped = []
    kept_minute = None
    for at in ticks:
        minute = at.replace(second=0, microsecond=0)
        if at < oldest or minute == kept_minute:
            dropped.append(at)
        else:
            kept_minute = minute
    return dropped


def _batches(ticks: Sequence[datetime]) -> Iterable[Sequence[datetime]]:
    for start in range(0, len(ticks), _TICKS_AT_ONCE):
        yield ticks[start : start + _TICKS_AT_ONCE]
