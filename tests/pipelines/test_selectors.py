"""The pipelines' page as values: heartbeats, what was published since, and totals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from gdsconsole.database.leases import Holder
from gdsconsole.kafka.consuming.retries import Failure
from gdsconsole.kafka.errors import FailureKind
from gdsconsole.kafka.partitions import TopicIdPartition
from gdsconsole.live.publish import Event, Frame, RedisSender
from gdsconsole.pipelines import leases, progress, selectors, services
from gdsconsole.pipelines.leases import Heartbeat
from gdsconsole.pipelines.models import PipelineConsumer
from gdsconsole.pipelines.partition_shares import TopicPartition
from gdsconsole.pipelines.selectors import FAILURES_SHOWN, Figures, PipelineView, consumer_view, total
from gdsconsole.pipelines.services import ConsumerRow
from gdsconsole.pipelines.storage import StoredFailures
from tests.factories import by

NOW = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)
TOPIC = "gds.metrics.production"
GROUPS = {"alerting": "gds-alerting", "dlq-index": "gds-dlq-index"}


def row(**changes: Any) -> ConsumerRow:
    fields: dict[str, Any] = {
        "slot": 1,
        "host": "node-7",
        "pid": 4711,
        "state": "running",
        "reason": "",
        "partitions": [f"{TOPIC}-10", f"{TOPIC}-2"],
        "rate_in": 12.5,
        "counters": {"retries": 1, "batch_ms": 4.2, "waiting": {f"{TOPIC}-2": "", f"{TOPIC}-10": "locked"}},
        "heartbeat_at": NOW,
    }
    return ConsumerRow(**fields | changes)  # type: ignore[typeddict-item]


def stats(second: float, **changes: Any) -> dict[str, Any]:
    published = {"published_at": (NOW + timedelta(seconds=second)).timestamp()}
    told = {"state": "retrying", "reason": "locked", "partitions": [f"{TOPIC}-2"], "rate_in": 99.0}
    return told | published | changes


def test_a_consumer_by_its_heartbeat():
    view = consumer_view("alerting", row(), None, [1.0])
    assert view.tps == (TopicPartition(TOPIC, 2), TopicPartition(TOPIC, 10))
    assert view.waiting == {f"{TOPIC}-10": "locked"}
    assert view.figures == Figures(rate_in=12.5, retries=1, batch_ms=4.2)
    assert (view.live, view.trend, view.tint) == ("pipeline.stats:alerting/1:", [1.0], "2")


def test_what_was_published_after_the_heartbeat_counts():
    view = consumer_view("alerting", row(), stats(2), [])
    assert (view.state, view.reason, view.figures.rate_in) == ("retrying", "locked", 99.0)
    assert view.tps == (TopicPartition(TOPIC, 2),)
    # Not told there is not zero.
    assert view.figures.retries is None


@pytest.mark.parametrize(
    ("consumer", "published"),
    [
        (row(), stats(-1)),
        (row(), stats(2, state="stopped")),
        (row(host=None, pid=None), stats(2)),
        (row(heartbeat_at=None), stats(2)),
    ],
)
def test_what_an_earlier_holder_published_does_not(consumer: ConsumerRow, published: dict[str, Any]):
    assert consumer_view("alerting", consumer, published, []).figures.rate_in == 12.5


def test_totals_are_of_what_is_known():
    each = [
        Figures(rate_in=1.5, batch_ms=4.0, last_commit_at=10.0, retries=1),
        Figures(rate_in=2.5, batch_ms=9.0, last_commit_at=7.0, retries=0),
        Figures(),
    ]
    assert total(each) == Figures(rate_in=4.0, batch_ms=9.0, last_commit_at=10.0, retries=1)
    assert total([]) == Figures()


def alerting(now: datetime = NOW) -> PipelineView:
    return selectors.read(now=now)[0]


def beat(slot: int, numbers: range, now: datetime = NOW, **counters: Any) -> None:
    lease = leases.claim(name="alerting", slot=slot, holder=Holder("node-7", 4711, "x", 1.0), now=now)
    assert lease is not None
    partitions = [f"{TOPIC}-{number}" for number in numbers]
    counted = {"rate_in": 10.0, **counters}
    leases.renew(
        lease=lease, heartbeat=Heartbeat(PipelineConsumer.State.RUNNING, "", partitions, counted), now=now
    )


@pytest.fixture
def ensured(db: None) -> None:
    services.ensure(groups=GROUPS, writes={"alerting": "alert events"})


def test_twelve_over_three_are_four_each(ensured: None):
    services.scale(name="alerting", consumers=3, **by())
    for slot in range(3):
        beat(slot, range(4 * slot, 4 * slot + 4))
    view = alerting()
    assert view.share == "3 consumers, 4 partitions each"
    assert [cell.slot for cell in view.strips[0].cells] == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
    assert (view.running, view.figures.rate_in, view.is_abandoned) == (3, 30.0, False)


def test_partitions_that_nobody_holds_are_known_from_the_progress(ensured: None):
    progress.load(group="gds-alerting", partitions=[TopicIdPartition(TOPIC, n, "id", "c") for n in range(12)])
    view = alerting()
    assert view.share == "12 partitions, none of them assigned"
    assert view.is_abandoned
    beat(0, range(8))
    assert alerting().share == "1 consumer, 8 partitions; 4 unassigned"
    services.pause(name="alerting", **by())
    assert not alerting(NOW + timedelta(minutes=1)).is_abandoned


def test_a_partition_that_stands_still_says_why_and_when_it_goes_on(ensured: None):
    def fail(number: int) -> None:
        StoredFailures("gds-alerting").save(
            Failure(
                partition=TopicIdPartition(TOPIC, number, "id", "c"),
                offset=41,
                kind=FailureKind.TRANSIENT,
                attempt=7,
                first_failed_at=NOW.timestamp(),
                last_failed_at=NOW.timestamp(),
                next_try_at=NOW.timestamp() + 30,
                error_type="OperationalError",
                error="locked",
            )
        )

    fail(3)
    beat(0, range(12), waiting={f"{TOPIC}-3": "OperationalError: locked", f"{TOPIC}-5": "no leader"})
    first, second = alerting().stuck
    assert (first.tp, first.offset, first.attempt) == (TopicPartition(TOPIC, 3), 41, 7)
    assert (first.why, first.next_try_at) == ("OperationalError: locked", NOW + timedelta(seconds=30))
    assert (second.tp, second.why, second.attempt, second.next_try_at) == (
        TopicPartition(TOPIC, 5),
        "no leader",
        None,
        None,
    )
    for number in range(20, 20 + FAILURES_SHOWN):
        fail(number)
    assert (len(alerting().stuck), alerting().more_stuck) == (FAILURES_SHOWN, 2)
    # Those of another group aren't shown here.
    assert selectors.read(now=NOW)[1].stuck == ()


@pytest.mark.redis
def test_trends_and_newer_figures_are_read_from_redis(ensured: None, redis_url: str, settings: Any):
    settings.REDIS_URL = redis_url
    beat(0, range(12))
    sender = RedisSender(redis_url)
    for second in (1.0, 7.0):
        told = {"state": "running", "reason": "", "partitions": [], "rate_in": second, "rate_out": 0.5}
        frame = Frame(
            NOW.timestamp() + second,
            [
                Event("pipeline.stats", "alerting/0", msgspec.Raw(msgspec.json.encode(told))),
                Event("lag.sampled", "gds-alerting", msgspec.Raw(b'{"total_lag": 42}')),
            ],
        )
        sender(frame)
    view = alerting(NOW + timedelta(seconds=8))
    assert [value for value in view.trend_in if value is not None] == [1.0, 7.0]
    assert view.figures.rate_in == 7.0
    assert [value for value in view.trend_out if value is not None] == [0.5, 0.5]
    assert (view.lag, view.lag_page) == (42, "/lag/gds-alerting/")
    assert view.writes == "alert events"


@pytest.mark.usefixtures("ensured")
def test_without_redis_there_is_the_heartbeat(settings: Any):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    beat(0, range(12))
    view = alerting()
    assert (view.figures.rate_in, view.trend_in, view.lag) == (10.0, [], None)
