from __future__ import annotations

from datetime import timedelta

import pytest

from lag.evaluate import WINDOW_S, Point
from lag.history import History
from lag.models import GroupSample
from tests.factories import SAMPLED_AT, make_group_sample, partition_sample

pytestmark = pytest.mark.django_db
KEY = ("hJ7x0yXjQW2mT1b3bqfRDA", 0)


def sample(seconds: float, group: str = "gds-alerting", **partition: object) -> None:
    make_group_sample(
        group=group,
        sampled_at=SAMPLED_AT + timedelta(seconds=seconds),
        partitions=[partition_sample(**partition)],
    )


def refreshed(history: History, seconds: float) -> list[float]:
    """Seconds of the points of the one partition, after a refresh."""
    history.refresh(now=SAMPLED_AT + timedelta(seconds=seconds))
    return [point.at - SAMPLED_AT.timestamp() for point in history.of("gds-alerting").get(KEY, [])]


def test_a_new_process_starts_with_what_others_stored() -> None:
    sample(0, committed=5, end=9, lag=4)
    sample(5, committed=7, end=9, lag=2)
    history = History()
    history.refresh(now=SAMPLED_AT + timedelta(seconds=10))
    start = SAMPLED_AT.timestamp()
    assert history.of("gds-alerting") == {KEY: [Point(start, 5, 9, 4), Point(start + 5, 7, 9, 2)]}
    assert history.of("another") == {}


def test_only_new_rows_are_read_again() -> None:
    sample(0)
    history = History()
    assert refreshed(history, 5) == [0]
    sample(5)
    GroupSample.objects.filter(sampled_at=SAMPLED_AT).update(partitions=[])
    assert refreshed(history, 10) == [0, 5]


def test_what_is_older_than_the_window_is_forgotten() -> None:
    sample(0)
    sample(10)
    history = History()
    assert refreshed(history, WINDOW_S) == [0, 10]
    assert refreshed(history, WINDOW_S + 1) == [10]
    assert refreshed(history, WINDOW_S + 11) == []


def test_unknown_samples_are_gaps() -> None:
    sample(0)
    sample(5, end=None, lag=None)
    make_group_sample(sampled_at=SAMPLED_AT + timedelta(seconds=10), partitions=None)
    sample(15)
    assert refreshed(History(), 20) == [0, 15]
