from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

import pytest

from gdsconsole.devstack import ports
from gdsconsole.kafka.cluster.broker_metrics import BrokerMetrics
from gdsconsole.kafka.cluster.metadata import Partition
from gdsconsole.kafka.config import ClientSettings
from gdsconsole.kafka.errors import KafkaUnavailable
from gdsconsole.live import publish
from gdsconsole.live.snapshots import latest
from lag import services
from lag.broker_sampler import ClusterReading, PreviousSample, as_seen, figures, offline_of
from lag.models import BrokerFigures, BrokerSample
from lag.services import brokers as broker_services
from lag.services.brokers import IDLE, latency
from tests.factories import SAMPLED_AT, broker_figures
from tests.topics.making import make_alert_rule
from topics.models import Alert, AlertState

NOWHERE = ClientSettings("127.0.0.1:1")


def of_broker(broker_id: int = 1, **changes: Any) -> BrokerFigures:
    return cast(BrokerFigures, broker_figures(broker_id, **changes))


def test_a_replica_on_a_broker_without_connections_is_missing() -> None:
    part = Partition("t", 0, leader=1, replicas=(1, 2, 3), in_sync=(1, 2, 3))
    assert not part.is_under_replicated
    seen = as_seen(part, frozenset({2, 3}))
    assert seen.is_under_replicated
    assert (seen.leader, seen.in_sync, seen.replicas) == (None, (2, 3), (1, 2, 3))
    assert as_seen(part, frozenset({1, 2, 3})) == part


METRICS = BrokerMetrics(
    bytes_in_total=1_000.0,
    bytes_out_total=3_000.0,
    messages_in_total=50.0,
    produce_requests_total=9.0,
    produce_p99_ms=12.5,
    fetch_p99_ms=503.0,
    is_controller=True,
    under_replicated=0,
)


def found(
    metrics: BrokerMetrics | None, before: BrokerFigures | None, seconds: float | None
) -> BrokerFigures:
    parts = [
        Partition("t", 0, leader=1, replicas=(1, 2), in_sync=(1, 2)),
        Partition("t", 1, leader=1, replicas=(1, 2), in_sync=(1,)),
        Partition("t", 2, leader=2, replicas=(2, 3), in_sync=(2,)),
    ]
    return figures(
        1, address="h:9092", is_up=True, parts=parts, metrics=metrics, before=before, seconds=seconds
    )


def test_figures_of_a_broker() -> None:
    before = of_broker(bytes_in_total=500.0, bytes_out_total=1_000.0, messages_in_total=40.0)
    assert found(METRICS, before, 5.0) == {
        "id": 1,
        "address": "h:9092",
        "up": True,
        "controller": True,
        "leads": 2,
        "replicas": 2,
        "under_replicated": 1,
        "bytes_in_per_s": 100.0,
        "bytes_out_per_s": 400.0,
        "messages_in_per_s": 2.0,
        "produce_p99_ms": 12.5,
        "fetch_p99_ms": 503.0,
        "bytes_in_total": 1_000.0,
        "bytes_out_total": 3_000.0,
        "messages_in_total": 50.0,
        "produce_requests_total": 9.0,
    }


@pytest.mark.parametrize(
    ("before", "seconds"),
    [
        pytest.param(None, None, id="the first sample"),
        pytest.param(of_broker(bytes_in_total=None), 5.0, id="no figure before"),
        pytest.param(of_broker(bytes_in_total=2_000.0), 5.0, id="the broker was restarted"),
        pytest.param(of_broker(bytes_in_total=500.0), 3_600.0, id="an hour's average"),
    ],
)
def test_a_rate_needs_a_sample_before(before: BrokerFigures | None, seconds: float | None) -> None:
    assert found(METRICS, before, seconds)["bytes_in_per_s"] is None


def test_a_broker_without_metrics_has_unknown_figures() -> None:
    seen = found(None, of_broker(), 5.0)
    assert (seen["controller"], seen["bytes_in_per_s"], seen["produce_p99_ms"]) == (None, None, None)
    assert (seen["leads"], seen["under_replicated"]) == (2, 1)


def test_latency_is_unknown_while_hardly_anything_is_produced() -> None:
    """The broker's histogram still says what its last requests took, however long ago."""
    before = of_broker(produce_requests_total=400.0)
    few = of_broker(produce_requests_total=419.0, produce_p99_ms=300.0)
    assert latency(few, before) is None
    enough = of_broker(produce_requests_total=420.0, produce_p99_ms=300.0)
    assert latency(enough, before) == 300.0
    assert latency(enough, None) is None
    # Restarted in between.
    assert latency(of_broker(produce_requests_total=30.0, produce_p99_ms=300.0), before) is None


def test_brokers_that_take_no_connection_are_counted_at_their_last_addresses() -> None:
    assert offline_of([]) is None
    assert offline_of([of_broker(address=None)]) is None
    gone = [of_broker(number, address=f"127.0.0.1:{port}") for number, port in enumerate(ports.free(2))]
    assert offline_of(gone) == 2


class Brokers:
    """What the next readings find, instead of a cluster."""

    def __init__(self) -> None:
        self.reading: ClusterReading | KafkaUnavailable = KafkaUnavailable("10.0.0.1:9092", "no answer")
        self.before: PreviousSample | None = None

    def are(self, *brokers: BrokerFigures, seconds: float = 0, **changes: Any) -> None:
        fields: dict[str, Any] = {
            "at": (SAMPLED_AT + timedelta(seconds=seconds)).timestamp(),
            "cluster_id": "cluster-1",
            "live": 3,
            "expected": 3,
            "partitions": 48,
            "under_replicated": 0,
            "under_min_isr": 0,
            "leaderless": 0,
            "brokers": brokers or tuple(of_broker(number) for number in (1, 2, 3)),
            "error": "",
        }
        self.reading = ClusterReading(**fields | changes)

    def read(self, *_: Any, before: PreviousSample | None) -> ClusterReading:
        self.before = before
        if isinstance(self.reading, KafkaUnavailable):
            raise self.reading
        return self.reading

    def sample(self, seconds: float = 0) -> BrokerSample:
        now = SAMPLED_AT + timedelta(seconds=seconds)
        services.sample_brokers(settings=NOWHERE, metrics_urls=[], now=now)
        publish.flush()
        stored = BrokerSample.objects.newest()
        assert stored is not None
        return stored


@pytest.fixture
def brokers(redis_url: str, db: None, monkeypatch: pytest.MonkeyPatch) -> Brokers:
    made = Brokers()
    monkeypatch.setattr(broker_services, "read_brokers", made.read)
    return made


@pytest.mark.redis
def test_a_sample_of_the_cluster_is_stored_and_told(brokers: Brokers) -> None:
    brokers.are(live=2, under_replicated=12, under_min_isr=0, leaderless=4)
    stored = brokers.sample()
    assert (stored.live, stored.expected, stored.under_replicated, stored.leaderless) == (2, 3, 12, 4)
    assert [broker["id"] for broker in stored.brokers] == [1, 2, 3]
    told = latest("brokers.sampled")
    assert told is not None
    del told["cluster"]["published_at"]
    assert told["cluster"] == {
        "brokers": 2,
        "expected": 3,
        "partitions": 48,
        "under_replicated": 12,
        "under_min_isr": 0,
        "leaderless": 4,
        "error": "",
    }


@pytest.mark.redis
def test_rates_begin_at_the_sample_before(brokers: Brokers) -> None:
    brokers.are()
    brokers.sample()
    assert brokers.before is None
    brokers.are(seconds=5)
    brokers.sample(5)
    assert brokers.before is not None
    assert brokers.before.at == SAMPLED_AT.timestamp()
    assert brokers.before.brokers.keys() == {1, 2, 3}


@pytest.mark.redis
def test_an_outage_is_unknown(brokers: Brokers) -> None:
    stored = brokers.sample()
    assert (stored.live, stored.expected, stored.under_replicated, stored.leaderless) == (None,) * 4
    assert (stored.brokers, stored.error) == ([], "Kafka at 10.0.0.1:9092 is unreachable: no answer")
    told = latest("brokers.sampled")
    assert told is not None
    assert told["cluster"]["brokers"] is None


def state(metric: str) -> AlertState | None:
    alert = Alert.objects.filter(metric_name=metric).order_by("-pk").first()
    return None if alert is None else AlertState(alert.state)


@pytest.mark.redis
def test_under_replicated_partitions_fire_and_resolve(brokers: Brokers) -> None:
    make_alert_rule(source="broker", metric_name="under_replicated_partitions", threshold=0)
    brokers.are()
    brokers.sample()
    assert state("under_replicated_partitions") is None
    brokers.are(seconds=5, live=2, under_replicated=12)
    brokers.sample(5)
    assert state("under_replicated_partitions") == AlertState.FIRING
    assert Alert.objects.get().subject == "cluster"
    brokers.reading = KafkaUnavailable("10.0.0.1:9092", "no answer")
    brokers.sample(10)
    assert state("under_replicated_partitions") == AlertState.FIRING
    brokers.are(seconds=15)
    brokers.sample(15)
    assert state("under_replicated_partitions") == AlertState.RESOLVED


@pytest.mark.redis
def test_a_cluster_that_is_down_is_offline_by_its_ports(brokers: Brokers) -> None:
    make_alert_rule(source="broker", metric_name="offline_brokers", threshold=0)
    gone = [of_broker(n, address=f"127.0.0.1:{port}") for n, port in enumerate(ports.free(3), 1)]
    brokers.are(*gone)
    brokers.sample()
    assert state("offline_brokers") is None
    brokers.reading = KafkaUnavailable("10.0.0.1:9092", "no answer")
    brokers.sample(5)
    assert state("offline_brokers") == AlertState.FIRING
    assert Alert.objects.get().value == 3
    # The addresses are still those of the last answer.
    brokers.sample(10)
    assert state("offline_brokers") == AlertState.FIRING


@pytest.mark.redis
def test_slow_requests_of_a_broker_fire_until_they_are_quick_or_over(brokers: Brokers) -> None:
    make_alert_rule(source="broker", metric_name="request_latency_p99_ms", threshold=100, for_s=10)

    def busy(seconds: float, p99_ms: float) -> None:
        slow = of_broker(2, produce_requests_total=1_000 + 10 * seconds, produce_p99_ms=p99_ms)
        brokers.are(of_broker(1), slow, seconds=seconds)
        brokers.sample(seconds)

    for seconds in (0, 5, 10):
        busy(seconds, 150.0)
    # The first sample has nothing to tell whether its figure is of now.
    assert state("request_latency_p99_ms") == AlertState.PENDING
    busy(15, 150.0)
    assert state("request_latency_p99_ms") == AlertState.FIRING
    assert Alert.objects.get().subject == "2"
    busy(20, 50.0)
    assert state("request_latency_p99_ms") == AlertState.RESOLVED
    for seconds in (25, 30, 35):
        busy(seconds, 150.0)
    assert state("request_latency_p99_ms") == AlertState.FIRING
    idle_from = 35
    for seconds in (IDLE.total_seconds(), IDLE.total_seconds() + 5):
        brokers.are(
            of_broker(2, produce_requests_total=1_000 + 10 * idle_from, produce_p99_ms=150.0),
            seconds=idle_from + seconds,
        )
        brokers.sample(idle_from + seconds)
    assert state("request_latency_p99_ms") == AlertState.RESOLVED
    assert Alert.objects.order_by("-pk")[0].resolved_reason == "hardly a produce request for 5 minutes"
