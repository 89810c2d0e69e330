"""One reading of the cluster: which brokers live, what they do, and which partitions are short of replicas.

The controller counts a killed broker as live, and in sync, until its session times out (9 s). Its port
says so at once, so a replica on a broker that takes no connection counts as missing, and a partition led
by one as leaderless.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from gdsconsole.kafka.cluster.broker_metrics import BrokerMetrics, WrongMetricsUrl, endpoints, scrape
from gdsconsole.kafka.cluster.metadata import (
    Broker,
    Cluster,
    Partition,
    connectable,
    read_cluster,
    under_min_isr,
)
from gdsconsole.kafka.config import ClientSettings
from gdsconsole.kafka.errors import KafkaUnavailable
from lag.models import BrokerFigures

REQUEST_S = 2.0
# Asked for in a crisis alone, when whoever is asked may just have died: what is known must not wait.
CONFIG_S = 1.0
# A rate over more than this says nothing of now.
LONGEST_RATE_S = 60.0
SHORTEST_RATE_S = 0.5


@dataclass(frozen=True, slots=True)
class ClusterReading:
    """Counts are of partitions, internal topics' included. None is unknown."""

    at: float  # epoch seconds
    cluster_id: str
    live: int
    expected: int
    partitions: int
    under_replicated: int
    under_min_isr: int | None
    leaderless: int
    brokers: tuple[BrokerFigures, ...]
    error: str  # why some figures are missing


@dataclass(frozen=True, slots=True)
class PreviousSample:
    """The sample before: what rates are the difference to, and where brokers were that are gone."""

    at: float
    brokers: Mapping[int, BrokerFigures]


def read_brokers(
    settings: ClientSettings,
    metrics_urls: Sequence[str],
    *,
    before: PreviousSample | None,
    clock: Callable[[], float] = time.time,
) -> ClusterReading:
    """Read the cluster and scrape its brokers. Raises `KafkaUnavailable` when none answered."""
    cluster = read_cluster(settings, timeout_s=REQUEST_S)
    up = connectable(cluster.brokers)
    parts = [as_seen(part, up) for part in cluster.partitions]
    short = [part for part in parts if part.is_under_replicated]
    error = ""
    try:
        refusing: int | None = len(under_min_isr(settings, short, timeout_s=CONFIG_S))
    except KafkaUnavailable as unavailable:
        refusing, error = None, f"min.insync.replicas could not be read: {unavailable.reason}"
    at = clock()
    try:
        addresses = endpoints(metrics_urls, sorted(cluster.expected_ids))
    except WrongMetricsUrl as wrong:
        addresses, error = {}, str(wrong)
    scraped = scrape({broker: url for broker, url in addresses.items() if broker in up})
    return ClusterReading(
        at=at,
        cluster_id=cluster.cluster_id,
        live=len(up),
        expected=len(cluster.expected_ids),
        partitions=len(parts),
        under_replicated=len(short),
        under_min_isr=refusing,
        leaderless=sum(part.leader is None for part in parts),
        brokers=tuple(
            figures(
                broker,
                address=_address(broker, cluster, before),
                is_up=broker in up,
                parts=parts,
                metrics=scraped.get(broker),
                before=None if before is None else before.brokers.get(broker),
                seconds=None if before is None else at - before.at,
            )
            for broker in sorted(cluster.expected_ids)
        ),
        error=error,
    )


def as_seen(part: Partition, up: frozenset[int]) -> Partition:
    """The partition without the brokers that take no connection. Pure."""
    return replace(
        part,
        leader=part.leader if part.leader in up else None,
        in_sync=tuple(broker for broker in part.in_sync if broker in up),
    )


def figures(
    broker: int,
    *,
    address: str | None,
    is_up: bool,
    parts: Sequence[Partition],
    metrics: BrokerMetrics | None,
    before: BrokerFigures | None,
    seconds: float | None,
) -> BrokerFigures:
    """A broker's figures; rates are since `before`, `seconds` ago. Pure."""
    led = [part for part in parts if part.leader == broker]

    def rate(total: float | None, earlier: float | None) -> float | None:
        if total is None or earlier is None or seconds is None:
            return None
        # The counters begin anew with the broker.
        if total < earlier or not SHORTEST_RATE_S <= seconds <= LONGEST_RATE_S:
            return None
        return round((total - earlier) / seconds, 1)

    bytes_in = None if metrics is None else metrics.bytes_in_total
    bytes_out = None if metrics is None else metrics.bytes_out_total
    messages_in = None if metrics is None else metrics.messages_in_total
    return BrokerFigures(
        id=broker,
        address=address,
        up=is_up,
        controller=None if metrics is None else metrics.is_controller,
        leads=len(led),
        replicas=sum(broker in part.replicas for part in parts),
        under_replicated=sum(part.is_under_replicated for part in led) if is_up else None,
        bytes_in_per_s=rate(bytes_in, before["bytes_in_total"] if before else None),
        bytes_out_per_s=rate(bytes_out, before["bytes_out_total"] if before else None),
        messages_in_per_s=rate(messages_in, before["messages_in_total"] if before else None),
        produce_p99_ms=None if metrics is None else metrics.produce_p99_ms,
        fetch_p99_ms=None if metrics is None else metrics.fetch_p99_ms,
        bytes_in_total=bytes_in,
        bytes_out_total=bytes_out,
        messages_in_total=messages_in,
        produce_requests_total=None if metrics is None else metrics.produce_requests_total,
    )


def offline_of(known: Sequence[BrokerFigures]) -> int | None:
    """How many of the known brokers take no connection; None where no address is known."""
    at_addresses = []
    for broker in known:
        if broker["address"] is not None:
            host, _, port = broker["address"].rpartition(":")
            at_addresses.append(Broker(broker["id"], host, int(port)))
    if not at_addresses:
        return None
    return len(at_addresses) - len(connectable(at_addresses))


def _address(broker: int, cluster: Cluster, before: PreviousSample | None) -> str | None:
    listed = {one.broker_id: one.address for one in cluster.brokers}
    if broker in listed:
        return listed[broker]
    known = None if before is None else before.brokers.get(broker)
    return None if known is None else known["address"]
