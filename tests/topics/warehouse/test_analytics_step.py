"""The analytics step against a real database: every sample in its minute once."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from gdsconsole.kafka.errors import FencedError
from gdsconsole.kafka.step import Batch
from tests.topics.making import START, Feed, make_sample, partition
from topics.models import MetricMinute
from topics.warehouse.aggregates import Addition, summarized
from topics.warehouse.analytics_step import AnalyticsStep
from topics.warehouse.rollups import add_figures

pytestmark = pytest.mark.django_db(transaction=True)

GROUP = "gds-analytics"


def new_step() -> AnalyticsStep:
    made = AnalyticsStep(group=GROUP, window=timedelta(hours=1), clock=lambda: START)
    made.assigned([partition(n) for n in range(3)])
    return made


@pytest.fixture
def step() -> AnalyticsStep:
    return new_step()


@pytest.fixture
def feed() -> Feed:
    return Feed(group=GROUP)


def send(step: AnalyticsStep, feed: Feed, *metrics: Any, **how: Any) -> None:
    feed.settle(step.handle(feed.batch(*metrics, **how)))


def rows() -> list[tuple[Any, ...]]:
    found = MetricMinute.objects.order_by("at", "series__instance_id")
    return list(found.values_list("at", "count", "minimum", "maximum", "total", "outside"))


def test_figures_of_a_minute(step: AnalyticsStep, feed: Feed) -> None:
    send(step, feed, *[make_sample(value, value) for value in (10, 40, 20, 30)])
    minute = MetricMinute.objects.select_related("series").get()
    assert (minute.at, minute.count, minute.minimum, minute.maximum) == (START, 4, 10, 40)
    assert (minute.mean, minute.p50) == (25, 25)
    assert (minute.series.database_type, minute.series.instance_id, minute.series.metric_name) == (
        "postgresql",
        "prod-db-01",
        "cpu_usage_percent",
    )
    assert feed.stored_offset() == 4


def test_later_batches_add_to_it_and_percentiles_merge(step: AnalyticsStep, feed: Feed) -> None:
    for start in (1, 26, 51, 76):
        send(step, feed, *[make_sample(value, 1) for value in range(start, start + 25)])
    minute = MetricMinute.objects.get()
    assert (minute.count, minute.minimum, minute.maximum, minute.total) == (100, 1, 100, 5_050)
    assert minute.p50 == pytest.approx(50.5, abs=1)
    assert minute.p95 == pytest.approx(95.5, abs=1)
    assert minute.p99 == pytest.approx(99.5, abs=1)
    assert step.written == 4


def test_series_and_minutes_are_kept_apart(step: AnalyticsStep, feed: Feed) -> None:
    send(
        step,
        feed,
        make_sample(1, 0),
        make_sample(2, 60),
        make_sample(3, 0, instance_id="prod-db-02"),
        make_sample(4, 0, metric_name="disk_used_percent"),
        make_sample(5, 0, tags={"environment": "staging"}),
    )
    assert MetricMinute.objects.count() == 5
    assert set(MetricMinute.objects.values_list("count", flat=True)) == {1}


def test_a_late_sample_updates_its_minute_and_a_later_one_is_counted(step: AnalyticsStep, feed: Feed) -> None:
    send(step, feed, make_sample(1, 0))
    send(step, feed, make_sample(9, 5), sent_at=START + timedelta(minutes=59))
    send(step, feed, make_sample(100, 6), sent_at=START + timedelta(minutes=61))
    assert rows() == [
        (START, 2, 1, 9, 10, 0),
        (START + timedelta(minutes=61), 0, None, None, None, 1),
    ]
    # What arrives in that minute on time joins the row.
    send(step, feed, make_sample(7, 61 * 60 + 5))
    assert rows()[1] == (START + timedelta(minutes=61), 1, 7, 7, 7, 1)


def test_a_batch_delivered_again_is_fenced_and_changes_nothing(step: AnalyticsStep, feed: Feed) -> None:
    batch = feed.batch(make_sample(1), make_sample(2))
    assert step.handle(batch)
    before = rows()
    with pytest.raises(FencedError):
        step.handle(batch)
    assert rows() == before
    assert step.assigned([feed.partition])[feed.partition] == 2


def test_adding_without_progress_counts_twice(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the progress is for: the naive step, under the same redelivery."""
    from topics.warehouse import analytics_step

    monkeypatch.setattr(analytics_step.progress, "advance", lambda **_: None)
    step = new_step()
    batch = feed.batch(make_sample(1), make_sample(2))
    step.handle(batch)
    step.handle(batch)
    assert rows()[0][1] == 4


def test_a_failed_transaction_leaves_neither_figures_nor_progress(
    step: AnalyticsStep, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    from topics.warehouse import analytics_step

    def fail(*given: Any) -> None:
        add_figures(*given)
        raise RuntimeError("between the figures and the commit")

    batch = feed.batch(make_sample(1))
    with monkeypatch.context() as patch:
        patch.setattr(analytics_step, "add_figures", fail)
        with pytest.raises(RuntimeError):
            step.handle(batch)
    assert (rows(), feed.stored_offset()) == ([], 0)
    assert step.handle(batch)
    assert rows() == [(START, 1, 1, 1, 1, 0)]


def test_a_record_without_a_time_was_sent_now(step: AnalyticsStep, feed: Feed) -> None:
    from confluent_kafka import TIMESTAMP_NOT_AVAILABLE

    from tests.factories import make_record

    batch = feed.batch(make_sample(1, 59), make_sample(2, -3_601))
    records = [make_record(offset=n, timestamp=(TIMESTAMP_NOT_AVAILABLE, 0)) for n in range(2)]
    step.handle(Batch(records, batch.values, batch.moves))
    assert rows() == [(START, 1, 1, 1, 1, 1)]


def test_consumers_that_meet_in_a_minute_lose_nothing() -> None:
    """Without a key an instance's samples are in every partition, and each consumer adds to the same rows."""
    rounds = 5
    failures: list[BaseException] = []
    names = [f"db-{n}" for n in range(20)]

    def consumer(number: int) -> None:
        try:
            step, feed = new_step(), Feed(number, group=GROUP)
            for turn in range(rounds):
                # Each in an order of its own, which is what makes them meet crosswise.
                order: Sequence[str] = names if number % 2 else names[::-1]
                metrics = [make_sample(number + 1, 60 * turn, instance_id=name) for name in order]
                send(step, feed, *metrics)
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=consumer, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert {row[1:] for row in rows()} == {(3, 1, 3, 6, 0)}
    assert len(rows()) == rounds * len(names)


def test_figures_are_added_with_their_progress_or_not_at_all() -> None:
    with pytest.raises(transaction.TransactionManagementError):
        add_figures(MetricMinute, {(1, START): summarized(Addition([1.0]))})


def test_a_batch_of_dead_letters_alone_makes_no_transaction(
    step: AnalyticsStep, feed: Feed, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(0):
        assert step.handle(feed.batch()) is False
