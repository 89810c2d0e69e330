"""One reading of the cluster: brokers, topics, partitions, and which of them are short of replicas.

Brokers and partitions come from plain metadata, which any broker answers: the calls that ask "the
controller" time out for as long as the client believes a dead broker to be it. Which broker really
is the controller is not asked here at all, because under KRaft a broker names a random live one;
`broker_metrics.py` knows.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, but not in its __all__
    ClusterMetadata,
    ConfigResource,
    ResourceType,
)

from gdsconsole.kafka.cluster.admin_client import REQUEST_TIMEOUT_S, admin_client, answers, metadata
from gdsconsole.kafka.config import ClientSettings
from gdsconsole.kafka.errors import KafkaUnavailable
from gdsconsole.kafka.errors import describe as describe_error

T = TypeVar("T")

_CONNECT_TIMEOUT_S = 1.0
_MOST_PROBES_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker that the cluster counts among its live ones."""

    broker_id: int
    host: str
    port: int

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Partition:
    topic: str
    partition: int
    leader: int | None  # None: no broker leads it, so nothing can be read or written
    replicas: tuple[int, ...]  # the preferred leader first
    in_sync: tuple[int, ...]

    @property
    def is_under_replicated(self) -> bool:
        return len(self.in_sync) < len(self.replicas)


@dataclass(frozen=True)
class Cluster:
    """What the cluster said of itself at one moment. Internal topics are included."""

    cluster_id: str
    brokers: tuple[Broker, ...]
    topics: Mapping[str, tuple[Partition, ...]]

    @cached_property
    def partitions(self) -> tuple[Partition, ...]:
        return tuple(partition for topic in self.topics.values() for partition in topic)

    @cached_property
    def live_ids(self) -> frozenset[int]:
        return frozenset(broker.broker_id for broker in self.brokers)

    @cached_property
    def expected_ids(self) -> frozenset[int]:
        """The live brokers and those that hold a replica by assignment, live or not."""
        return self.live_ids | {holder for part in self.partitions for holder in part.replicas}

    @cached_property
    def under_replicated(self) -> tuple[Partition, ...]:
        return tuple(part for part in self.partitions if part.is_under_replicated)

    @cached_property
    def leaderless(self) -> tuple[Partition, ...]:
        return tuple(part for part in self.partitions if part.leader is None)


def read_cluster(settings: ClientSettings, *, timeout_s: float = REQUEST_TIMEOUT_S) -> Cluster:
    """The cluster now; raises `KafkaUnavailable` naming the address when no broker answers."""
    return _cluster(metadata(settings, timeout_s=timeout_s))


def cluster_id(settings: ClientSettings, *, timeout_s: float = REQUEST_TIMEOUT_S) -> str:
    """The cluster's id; raises `KafkaUnavailable`."""
    return str(metadata(settings, timeout_s=timeout_s).cluster_id)


def topic_ids(
    settings: ClientSettings, names: Collection[str], *, timeout_s: float = REQUEST_TIMEOUT_S
) -> dict[str, str]:
    """The id of each of these topics that exists; a topic made anew under its old name has another.

    Raises `KafkaUnavailable` when one of them could not be read; call after `read_cluster`, which keeps
    the client from asking a dead broker.
    """
    found, unread = read_topic_ids(settings, names, timeout_s=timeout_s)
    if unread:
        first = min(unread)
        raise KafkaUnavailable(settings.bootstrap_servers, f"topic {first}: {unread[first]}")
    return found


def read_topic_ids(
    settings: ClientSettings, names: Collection[str], *, timeout_s: float = REQUEST_TIMEOUT_S
) -> tuple[dict[str, str], dict[str, str]]:
    """As `topic_ids`, and of each topic that exists but could not be read, why.

    Raises `KafkaUnavailable` when nobody answered.
    """
    if not names:
        return {}, {}
    asked = TopicCollection(sorted(names))

    def describe(within_s: float) -> tuple[dict[str, Any], dict[str, KafkaError]]:
        futures = admin_client(settings).describe_topics(asked, request_timeout=within_s)
        return answers(futures, settings, timeout_s=within_s)

    found, failed = _by_controller(settings, describe, timeout_s)
    unread = {
        name: describe_error(error)
        for name, error in failed.items()
        if error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART
    }
    return {name: str(topic.topic_id) for name, topic in found.items()}, unread


def under_min_isr(
    settings: ClientSettings, partitions: Sequence[Partition], *, timeout_s: float = REQUEST_TIMEOUT_S
) -> tuple[Partition, ...]:
    """Those of `partitions` that refuse `acks=all` writes: fewer in sync than min.insync.replicas.

    Pass the under-replicated ones: only their topics' configurations are read.
    Raises `KafkaUnavailable`.
    """
    topics = sorted({part.topic for part in partitions})
    if not topics:
        return ()
    asked = [ConfigResource(ResourceType.TOPIC, topic) for topic in topics]

    def describe(within_s: float) -> dict[ConfigResource, Any]:
        try:
            futures = admin_client(settings).describe_configs(asked, request_timeout=within_s)
        except KafkaException as error:
            raise KafkaUnavailable(settings.bootstrap_servers, str(error)) from error
        return answers(futures, settings, timeout_s=within_s)[0]

    found = _by_controller(settings, describe, timeout_s)
    needed = {
        resource.name: int(entries["min.insync.replicas"].value)
        for resource, entries in found.items()
        if "min.insync.replicas" in entries
    }
    return tuple(part for part in partitions if len(part.in_sync) < needed.get(part.topic, 1))


def _by_controller(settings: ClientSettings, ask: Callable[[float], T], timeout_s: float) -> T:
    """Ask, within some seconds, what the client sends to "the controller"; once more if that is silent.

    Metadata names a random broker as it, for some seconds even one that has died, and read anew names
    another.
    """
    half_s = timeout_s / 2
    try:
        return ask(half_s)
    except KafkaUnavailable:
        metadata(settings, timeout_s=half_s)
        return ask(half_s)


def connectable(brokers: Sequence[Broker], *, timeout_s: float = _CONNECT_TIMEOUT_S) -> frozenset[int]:
    """Ids of the brokers whose port takes a connection.

    The controller counts a killed broker as live until its session times out (9 s by default); its
    port says so at once.
    """
    if not brokers:
        return frozenset()
    with ThreadPoolExecutor(min(len(brokers), _MOST_PROBES_AT_ONCE)) as pool:
        answered = pool.map(lambda broker: _connects(broker, timeout_s), brokers)
        return frozenset(broker.broker_id for broker, up in zip(brokers, answered, strict=True) if up)


def _connects(broker: Broker, timeout_s: float) -> bool:
    try:
        with socket.create_connection((broker.host, broker.port), timeout=timeout_s):
            return True
    except OSError:
        return False


def _cluster(seen: ClusterMetadata) -> Cluster:
    brokers = [Broker(node.id, str(node.host), node.port) for node in seen.brokers.values()]
    topics = {
        name: tuple(
            Partition(
                topic=name,
                partition=part.id,
                leader=part.leader if part.leader >= 0 else None,
                replicas=tuple(part.replicas),
                in_sync=tuple(part.isrs),
            )
            for part in sorted(topic.partitions.values(), key=lambda part: part.id)
        )
        for name, topic in sorted(seen.topics.items())
        # A topic being deleted is listed for a moment with this error and without partitions.
        if topic.error is None or topic.partitions
    }
    return Cluster(
        cluster_id=str(seen.cluster_id),
        brokers=tuple(sorted(brokers, key=lambda broker: broker.broker_id)),
        topics=topics,
    )
