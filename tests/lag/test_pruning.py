from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from lag.models import BrokerSample, GroupSample
from lag.services.pruning import BROKER_TICKS, GROUP_TICKS, KEEP, prune_samples, surplus
from tests.factories import SAMPLED_AT, make_broker_sample, make_group_sample

NOW = SAMPLED_AT + timedelta(days=2)


def ticks(start: datetime, count: int, every_s: float = 5.0) -> list[datetime]:
    return [start + timedelta(seconds=every_s * n) for n in range(count)]


def test_one_tick_of_each_minute_is_kept() -> None:
    times = ticks(SAMPLED_AT, 36)
    dropped = surplus(times, oldest=SAMPLED_AT)
    assert [at for at in times if at not in dropped] == ticks(SAMPLED_AT, 3, every_s=60)


def test_what_was_thinned_before_stays() -> None:
    assert surplus(ticks(SAMPLED_AT, 60, every_s=60), oldest=SAMPLED_AT) == []


def test_what_is_too_old_goes() -> None:
    times = ticks(SAMPLED_AT, 3, every_s=60)
    assert surplus(times, oldest=times[2]) == times[:2]


@pytest.mark.django_db
def test_groups_are_thinned_after_ten_minutes_and_deleted_after_a_day() -> None:
    recent = NOW - GROUP_TICKS
    for at in (
        NOW - KEEP - timedelta(seconds=5),
        *ticks(recent - timedelta(minutes=2), 24),
        *ticks(recent, 5),
    ):
        make_group_sample(sampled_at=at)
        make_group_sample(sampled_at=at, group="another")
    assert prune_samples(now=NOW) == 2 * (1 + 22)
    rows = GroupSample.objects.of_group("another")
    assert [row.sampled_at for row in rows] == [
        *ticks(recent - timedelta(minutes=2), 2, every_s=60),
        *ticks(recent, 5),
    ]
    # Verdicts look at what is new; charts need no partitions.
    assert [row.partitions is None for row in rows] == [True, True, *[False] * 5]
    assert prune_samples(now=NOW) == 0


@pytest.mark.django_db
def test_the_cluster_keeps_every_tick_of_the_last_hour() -> None:
    for at in (*ticks(NOW - BROKER_TICKS - timedelta(minutes=1), 12), *ticks(NOW - BROKER_TICKS, 12)):
        make_broker_sample(sampled_at=at)
    assert prune_samples(now=NOW) == 11
    assert BrokerSample.objects.count() == 13
