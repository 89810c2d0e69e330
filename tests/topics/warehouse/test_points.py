"""The warehouse step against a real database: every metric once, whatever is delivered again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from django.db import connection, transaction

from gdsconsole.kafka.errors import FencedError
from gdsconsole.pipelines.models import PartitionProgress
from tests.factories import make_record
from tests.topics.making import START, Feed, make_sample, partition
from topics.models import MetricPoint, MetricSeries, StreamPartition
from topics.telemetry import OutOfRange
from topics.warehouse.points import Points, write_points
from topics.warehouse.series_ids import SeriesIndex, SeriesKey, origin_ids
from topics.warehouse.step import WarehouseStep

pytestmark = pytest.mark.django_db(transaction=True)

GROUP = "gds-warehouse"
NOW = START + timedelta(hours=1)


@pytest.fixture
def step() -> WarehouseStep:
    made = WarehouseStep(group=GROUP, clock=lambda: NOW)
    made.assigned([partition(0), partition(1)])
    return made


@pytest.fixture
def feed() -> Feed:
    return Feed(group=GROUP)


def stored() -> list[tuple[int, int, float]]:
    rows = MetricPoint.objects.order_by("origin__partition", "offset")
    return list(rows.values_list("origin__partition", "offset", "value"))


def test_a_point_is_the_metric_and_where_it_stood(step: WarehouseStep, feed: Feed) -> None:
    tags = {"environment": "staging", "tenant_id": "acme", "mount": '/var \\ "é"\t'}
    at = datetime(2026, 1, 15, 11, 30, 0, 250_001, timezone(timedelta(hours=1)))
    assert step.handle(feed.batch(make_sample(85.5, timestamp=at, tags=tags), at=41))
    point = MetricPoint.objects.select_related("series", "origin").get()
    assert (point.at, point.stored_at, point.value, point.tags) == (at, NOW, 85.5, tags)
    assert (point.origin.cluster_id, point.origin.topic) == ("cluster-id", "gds.metrics.production")
    assert (point.origin.topic_id, point.origin.partition, point.offset) == ("topic-id", 0, 41)
    series = point.series
    assert (series.database_type, series.instance_id) == ("postgresql", "prod-db-01")
    assert (series.metric_name, series.environment, series.tenant_id) == (
        "cpu_usage_percent",
        "staging",
        "acme",
    )
    assert feed.stored_offset() == 42


def test_one_transaction_a_batch_and_series_are_asked_for_once(
    step: WarehouseStep, feed: Feed, django_assert_max_num_queries: Any
) -> None:
    metrics = [make_sample(n, n, instance_id=f"db-{n % 50}") for n in range(1_000)]
    feed.settle(step.handle(feed.batch(*metrics)))
    # BEGIN, the progress, the points; and COMMIT. SQLite's rows go by the bare driver, uncounted.
    with django_assert_max_num_queries(4):
        assert step.handle(feed.batch(*metrics))
    assert MetricPoint.objects.count() == 2_000
    assert MetricSeries.objects.count() == 50


@pytest.mark.parametrize("count", [99, 100, 101, 250])
def test_a_batch_of_any_size_is_stored_whole_and_once(step: WarehouseStep, feed: Feed, count: int) -> None:
    expected = [(0, offset, offset) for offset in range(count)]
    half = [make_sample(number) for number in range(count // 2)]
    assert step.handle(feed.batch(*half, at=0))
    # As after somebody set the progress back: some are stored already.
    PartitionProgress.objects.update(next_offset=0)
    whole = [make_sample(number) for number in range(count)]
    assert step.handle(feed.batch(*whole, at=0))
    assert stored() == expected


def test_a_message_without_an_environment_has_its_topics(step: WarehouseStep, feed: Feed) -> None:
    step.handle(feed.batch(make_sample(tags={}), make_sample(tags={"environment": ""})))
    assert [point.series.environment for point in MetricPoint.objects.all()] == ["production"] * 2
    assert MetricSeries.objects.count() == 1


def test_a_batch_delivered_again_is_fenced_and_changes_nothing(step: WarehouseStep, feed: Feed) -> None:
    batch = feed.batch(make_sample(1), make_sample(2))
    assert step.handle(batch)
    with pytest.raises(FencedError):
        step.handle(batch)
    assert stored() == [(0, 0, 1), (0, 1, 2)]
    assert step.written == 2
    assert step.assigned([feed.partition])[feed.partition] == 2


def test_a_consumer_that_was_replaced_writes_nothing(step: WarehouseStep, feed: Feed) -> None:
    frozen = WarehouseStep(group=GROUP, clock=lambda: NOW)
    frozen.assigned([feed.partition])
    old = feed.batch(make_sample(1), make_sample(2))
    step.handle(feed.batch(make_sample(1), make_sample(2), make_sample(3), at=0))
    with pytest.raises(FencedError):
        frozen.handle(old)
    assert stored() == [(0, 0, 1), (0, 1, 2), (0, 2, 3)]


def test_progress_set_back_by_hand_leaves_what_is_stored(step: WarehouseStep, feed: Feed) -> None:
    feed.settle(step.handle(feed.batch(make_sample(1), make_sample(2))))
    PartitionProgress.objects.update(next_offset=0)
    feed.stored = 0
    assert step.handle(feed.batch(make_sample(9), make_sample(9), make_sample(3), at=0))
    assert stored() == [(0, 0, 1), (0, 1, 2), (0, 2, 3)]
    assert feed.stored_offset() == 3


def test_the_key_itself_refuses_a_second_point(feed: Feed) -> None:
    """What holds when everything else fails."""
    points = _points(make_sample(1))
    with transaction.atomic():
        write_points(points=points, now=NOW)
    with pytest.raises(Exception, match=r"(?i)unique"), transaction.atomic():
        write_points(points=points, now=NOW)
    with transaction.atomic():
        write_points(points=points, now=NOW, known=True)
    assert MetricPoint.objects.count() == 1


def test_a_failed_transaction_leaves_neither_points_nor_progress(
    step: WarehouseStep, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    from topics.warehouse import step as warehouse_step

    def fail(**_: Any) -> None:
        write_points(**_)
        raise RuntimeError("between the points and the commit")

    batch = feed.batch(make_sample(1))
    with monkeypatch.context() as patch:
        patch.setattr(warehouse_step, "write_points", fail)
        with pytest.raises(RuntimeError):
            step.handle(batch)
    assert (stored(), feed.stored_offset()) == ([], 0)
    assert step.handle(batch)
    assert (stored(), feed.stored_offset()) == ([(0, 0, 1)], 1)


def test_two_partitions_in_one_batch(step: WarehouseStep, feed: Feed) -> None:
    other = Feed(1, group=GROUP)
    one, two = feed.batch(make_sample(1), make_sample(2)), other.batch(make_sample(3), at=7)
    step.handle(
        type(one)([*one.records, *two.records], [*one.values, *two.values], {**one.moves, **two.moves})
    )
    assert stored() == [(0, 0, 1), (0, 1, 2), (1, 7, 3)]
    assert (feed.stored_offset(), other.stored_offset()) == (2, 8)


def test_two_topics_in_one_batch(step: WarehouseStep, feed: Feed) -> None:
    other = Feed(group=GROUP)
    other.partition = other.partition._replace(topic="gds.metrics.staging", topic_id="other-id")
    step.assigned([other.partition])
    one, two = feed.batch(make_sample(1, tags={})), other.batch(make_sample(2, tags={}))
    records = [*one.records, make_record(topic="gds.metrics.staging", partition=0, offset=0)]
    step.handle(type(one)(records, [*one.values, *two.values], {**one.moves, **two.moves}))
    found = MetricPoint.objects.order_by("value").values_list("origin__topic", "series__environment")
    assert list(found) == [("gds.metrics.production", "production"), ("gds.metrics.staging", "staging")]


def test_a_topic_made_again_has_points_of_its_own(step: WarehouseStep, feed: Feed) -> None:
    step.handle(feed.batch(make_sample(1)))
    feed.partition = feed.partition._replace(topic_id="another")
    feed.stored = feed.next = 0
    step.assigned([feed.partition])
    step.handle(feed.batch(make_sample(2)))
    assert stored() == [(0, 0, 1), (0, 0, 2)]
    assert StreamPartition.objects.filter(partition=0).count() == 2


def test_a_batch_of_dead_letters_alone_makes_no_transaction(
    step: WarehouseStep, feed: Feed, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(0):
        assert step.handle(feed.batch()) is False


@pytest.mark.parametrize(
    "at",
    [
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=2))),
        datetime(9999, 12, 31, 23, tzinfo=timezone(-timedelta(hours=2))),
    ],
)
def test_a_time_that_no_database_holds_is_poison(step: WarehouseStep, feed: Feed, at: datetime) -> None:
    with pytest.raises(OutOfRange, match="timestamp: expected a time between the years 1 and 9999"):
        step.handle(feed.batch(make_sample(1), make_sample(2, timestamp=at), sent_at=NOW))
    assert stored() == []


@pytest.mark.parametrize(
    "at", [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)]
)
def test_every_other_time_is_kept(step: WarehouseStep, feed: Feed, at: datetime) -> None:
    step.handle(feed.batch(make_sample(1, timestamp=at), sent_at=NOW))
    assert MetricPoint.objects.get().at == at


@pytest.mark.parametrize("value", [0.0, 5e-324, 1.7976931348623157e308, 0.1 + 0.2])
def test_every_value_comes_back_as_it_was(step: WarehouseStep, feed: Feed, value: float) -> None:
    step.handle(feed.batch(make_sample(value)))
    assert MetricPoint.objects.get().value.hex() == value.hex()


def test_what_postgresql_cannot_hold_is_replaced(step: WarehouseStep, feed: Feed) -> None:
    tags = {"note\0": "a\0b", "path": "\\u0000"}
    step.handle(feed.batch(make_sample(1, instance_id="db\0", tags=tags)))
    point = MetricPoint.objects.get()
    assert point.tags == {"note\N{REPLACEMENT CHARACTER}": "a\N{REPLACEMENT CHARACTER}b", "path": "\\u0000"}
    assert point.series.instance_id == "db\N{REPLACEMENT CHARACTER}"


def test_the_longest_names_are_kept_apart(step: WarehouseStep, feed: Feed) -> None:
    """Longer together than PostgreSQL's index entries may be."""
    names = [letter * 199 + "\N{GRINNING FACE}" for letter in "ab"]
    step.handle(
        feed.batch(*[make_sample(1, database_type=n, instance_id=n, metric_name=n) for n in names * 2])
    )
    assert sorted(MetricSeries.objects.values_list("instance_id", flat=True)) == names


def test_series_are_known_again_after_too_many(django_assert_num_queries: Any) -> None:
    index = SeriesIndex(kept=3)
    keys = [SeriesKey("postgresql", f"db-{n}", "cpu", "production", "") for n in range(5)]
    ids = [index.ids([key])[0] for key in keys]
    assert index.ids(keys) == ids
    with django_assert_num_queries(0):
        assert index.ids(keys) == ids
    assert MetricSeries.objects.count() == 5


def test_a_consumer_that_starts_reads_all_series_at_once(django_assert_num_queries: Any) -> None:
    keys = [SeriesKey("postgresql", f"db-{n}", "cpu", "production", "") for n in range(50)]
    ids = SeriesIndex().ids(keys)
    started = SeriesIndex()
    with django_assert_num_queries(1):
        assert started.ids(keys) == ids


def test_two_consumers_meet_the_same_new_series() -> None:
    key = SeriesKey("postgresql", "db-1", "cpu", "production", "")
    assert SeriesIndex().ids([key, key]) == SeriesIndex().ids([key, key])
    assert MetricSeries.objects.count() == 1


def test_ids_that_a_rollback_would_take_are_refused() -> None:
    with pytest.raises(transaction.TransactionManagementError), transaction.atomic():
        SeriesIndex().ids([SeriesKey("postgresql", "db-1", "cpu", "", "")])
    with pytest.raises(transaction.TransactionManagementError), transaction.atomic():
        origin_ids([partition()])
    with pytest.raises(transaction.TransactionManagementError):
        write_points(points=_points(make_sample(1)), now=NOW)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*", ["PROD-1", "prod-1", "prod-10", "prod_1", "x%[a]?"]),
        ("prod-*", ["prod-1", "prod-10"]),
        ("*1", ["PROD-1", "prod-1", "prod_1"]),
        ("prod-1", ["prod-1"]),
        ("prod_*", ["prod_1"]),
        ("x%[a]?", ["x%[a]?"]),
        ("*[a]*", ["x%[a]?"]),
        ("prod-?", []),
    ],
)
def test_only_the_star_is_special_in_a_pattern(pattern: str, found: list[str]) -> None:
    SeriesIndex().ids(
        [SeriesKey("p", n, "cpu", "", "") for n in ("prod-1", "prod-10", "PROD-1", "prod_1", "x%[a]?")]
    )
    rows = MetricSeries.objects.filter(instance_id__matches=pattern)
    assert sorted(rows.values_list("instance_id", flat=True)) == found


def test_names_of_points_use_the_index_by_time() -> None:
    recent = MetricPoint.objects.filter(at__gte=START).order_by("-at")
    if connection.vendor == "sqlite":
        assert "point_by_time" in recent.explain()
    else:
        with transaction.atomic(), connection.cursor() as cursor:
            # An empty table is always read whole, unless that is forbidden.
            cursor.execute("SET LOCAL enable_seqscan = off")
            assert "point_by_time" in recent.explain()


def _points(*metrics: Any) -> Points:
    origin = origin_ids([partition()])[partition()]
    series = SeriesIndex().ids([SeriesKey("postgresql", "db-1", "cpu", "", "")])[0]
    return Points([origin] * len(metrics), range(len(metrics)), [series] * len(metrics), metrics)
