"""Stores what was sampled of the cluster, judges it by the broker rules, and tells open pages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from gdsconsole.kafka.config import ClientSettings
from gdsconsole.kafka.errors import KafkaUnavailable
from gdsconsole.live.publish import publish
from lag.broker_sampler import ClusterReading, PreviousSample, offline_of, read_brokers
from lag.models import MAX_REASON, BrokerFigures, BrokerSample
from topics.alerting.services import Measurement, record_measurements, resolve_series
from topics.models import Alert, Source

LATENCY = "request_latency_p99_ms"
# The sample before is no use for rates, nor its addresses, after this.
BEFORE_S = 600.0
# Between two samples, for a p99 to say something.
FEWEST_REQUESTS = 20
# A broker with fewer for so long has no latency to alert on.
IDLE = timedelta(minutes=5)


def sample_brokers(*, settings: ClientSettings, metrics_urls: Sequence[str], now: datetime) -> BrokerSample:
    """Take one sample of the cluster; one that says why while no broker answers."""
    last = BrokerSample.objects.exclude(brokers=[]).newest()
    before = _before(last, now)
    try:
        reading = read_brokers(settings, metrics_urls, before=before)
    except KafkaUnavailable as error:
        sample = BrokerSample(sampled_at=now, error=str(error)[:MAX_REASON])
        known = list(before.brokers.values()) if before else []
        measured = [_measured("offline_brokers", offline_of(known), now)]
    else:
        sample = _row(reading)
        measured = measurements(reading, before)
    BrokerSample.objects.bulk_create([sample], ignore_conflicts=True)
    record_measurements(measured, now=now)
    _resolve_idle(now=now)
    publish("brokers.sampled", "cluster", as_data(sample))
    return sample


def measurements(reading: ClusterReading, before: PreviousSample | None) -> list[Measurement]:
    """What broker rules judge. Pure."""
    at = datetime.fromtimestamp(reading.at, UTC)
    earlier = {} if before is None else before.brokers
    return [
        _measured("under_replicated_partitions", reading.under_replicated, at),
        _measured("under_min_isr_partitions", reading.under_min_isr, at),
        _measured("leaderless_partitions", reading.leaderless, at),
        _measured("offline_brokers", reading.expected - reading.live, at),
        *(
            Measurement(
                Source.BROKER,
                LATENCY,
                {"broker": str(broker["id"])},
                latency(broker, earlier.get(broker["id"])),
                at,
            )
            for broker in reading.brokers
        ),
    ]


def latency(broker: BrokerFigures, before: BrokerFigures | None) -> float | None:
    """The p99 of the broker's produce requests, None while it gets too few of them. Pure.

    The broker's histogram is of its last requests, of some five minutes: with few of them the p99 is
    the slowest one, and without new ones it says nothing of now. Fetch requests are not judged, because
    theirs includes the wait for data that a long poll asks for.
    """
    requests = broker.get("produce_requests_total")
    earlier = None if before is None else before.get("produce_requests_total")
    if requests is None or earlier is None or requests - earlier < FEWEST_REQUESTS:
        return None
    return broker["produce_p99_ms"]


def as_data(sample: BrokerSample) -> dict[str, Any]:
    """A sample without its brokers' figures, as it is published."""
    return {
        "brokers": sample.live,
        "expected": sample.expected,
        "partitions": sample.partitions,
        "under_replicated": sample.under_replicated,
        "under_min_isr": sample.under_min_isr,
        "leaderless": sample.leaderless,
        "error": sample.error,
    }


def _before(last: BrokerSample | None, now: datetime) -> PreviousSample | None:
    if last is None or now - last.sampled_at > timedelta(seconds=BEFORE_S):
        return None
    return PreviousSample(last.sampled_at.timestamp(), {broker["id"]: broker for broker in last.brokers})


def _row(reading: ClusterReading) -> BrokerSample:
    return BrokerSample(
        sampled_at=datetime.fromtimestamp(reading.at, UTC),
        cluster_id=reading.cluster_id,
        live=reading.live,
        expected=reading.expected,
        partitions=reading.partitions,
        under_replicated=reading.under_replicated,
        under_min_isr=reading.under_min_isr,
        leaderless=reading.leaderless,
        brokers=list(reading.brokers),
        error=reading.error[:MAX_REASON],
    )


def _measured(name: str, value: float | None, at: datetime) -> Measurement:
    return Measurement(Source.BROKER, name, {}, value, at)


def _resolve_idle(*, now: datetime) -> None:
    """An alert on request latency ends with the requests: no sample would ever resolve it."""
    quiet = Alert.objects.open().filter(
        rule__source=Source.BROKER, metric_name=LATENCY, last_sample_at__lt=now - IDLE
    )
    for alert in quiet:
        resolve_series(
            source=Source.BROKER,
            labels=alert.labels,
            reason=f"hardly a produce request for {IDLE.total_seconds() / 60:.0f} minutes",
            now=now,
        )
