from __future__ import annotations

from datetime import timedelta

import pytest

from lag.evaluation import WINDOW_S, Point
from lag.group_readings import GroupReading, PartitionReading
from lag.models import GroupSample
from lag.sample_window import SampleWindow, SeenCommit, next_seen
from tests.factories import SAMPLED_AT, make_group_sample, partition_sample

pytestmark = pytest.mark.django_db
KEY = ("hJ7x0yXjQW2mT1b3bqfRDA", 0)


def sample(seconds: float, group: str = "gds-alerting", **partition: object) -> None:
    make_group_sample(
        group=group,
        sampled_at=SAMPLED_AT + timedelta(seconds=seconds),
        partitions=[partition_sample(**partition)],
    )


def refreshed(history: SampleWindow, seconds: float) -> list[float]:
    """Seconds of the points of the one partition, after a refresh."""
    history.refresh(now=SAMPLED_AT + timedelta(seconds=seconds))
    return [point.at - SAMPLED_AT.timestamp() for point in history.of("gds-alerting").get(KEY, [])]


def test_a_new_process_starts_with_what_others_stored() -> None:
    sample(0, committed=5, end=9, lag=4)
    sample(5, committed=7, end=9, lag=2)
    history = SampleWindow()
    history.refresh(now=SAMPLED_AT + timedelta(seconds=10))
    start = SAMPLED_AT.timestamp()
    assert history.of("gds-alerting") == {KEY: [Point(start, 5, 9, 4), Point(start + 5, 7, 9, 2)]}
    assert history.of("another") == {}


def test_only_new_rows_are_read_again() -> None:
    sample(0)
    history = SampleWindow()
    assert refreshed(history, 5) == [0]
    sample(5)
    GroupSample.objects.filter(sampled_at=SAMPLED_AT).update(partitions=[])
    assert refreshed(history, 10) == [0, 5]


def test_what_is_older_than_the_window_is_forgotten() -> None:
    sample(0)
    sample(10)
    history = SampleWindow()
    assert refreshed(history, WINDOW_S) == [0, 10]
    assert refreshed(history, WINDOW_S + 1) == [10]
    assert refreshed(history, WINDOW_S + 11) == []


def test_unknown_samples_are_gaps() -> None:
    sample(0)
    sample(5, end=None, lag=None)
    make_group_sample(sampled_at=SAMPLED_AT + timedelta(seconds=10), partitions=None)
    sample(15)
    assert refreshed(SampleWindow(), 20) == [0, 15]


@pytest.mark.parametrize(
    ("seen", "is_stale"),
    [
        ([("old", 50)], False),
        ([("old", 50), ("new", 50)], True),
        ([("old", 50), ("new", 53), ("new", 53)], True),
        ([("old", 50), ("new", None), ("new", 50)], True),
        ([("old", 50), ("new", 50), ("new", 51)], False),
        ([("old", 50), ("new", 3)], False),
        ([("old", 0), ("new", 0)], False),
        ([("old", None), ("new", 50)], False),
    ],
)
def test_a_commit_that_stands_where_it_stood_when_the_topic_became_another(
    seen: list[tuple[str, int | None]], is_stale: bool
) -> None:
    known: SeenCommit | None = None
    for topic_id, committed in seen:
        known = next_seen(known, SeenCommit(topic_id, committed))
    assert known is not None
    assert known.is_stale is is_stale


def test_such_a_commit_gives_no_lag_until_it_moves_or_says_what_it_is_of() -> None:
    sample(0, committed=50, end=50, lag=0)
    history = SampleWindow()
    history.refresh(now=SAMPLED_AT + timedelta(seconds=5))

    def read(committed: int, *, is_own: bool = False) -> int | None:
        topic = partition_sample()["topic"]
        part = PartitionReading(topic, "new", 0, committed, 80, 0, 80 - committed, 0, True, is_own=is_own)
        (told,) = history.told_apart(GroupReading("gds-alerting", "Stable", 1, (part,), None)).partitions
        return told.lag

    assert read(50) is None
    assert read(50, is_own=True) == 30
    assert read(20) == 60
    sample(5, topic_id="new", committed=50, end=80, lag=None)
    history.refresh(now=SAMPLED_AT + timedelta(seconds=10))
    assert read(50) is None
    assert read(51) == 29
