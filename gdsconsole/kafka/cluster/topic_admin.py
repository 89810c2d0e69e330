"""Topics as the cluster has them, and the three changes the console makes to them.

A topic is created, gets more partitions, or gets other properties. Nothing here deletes anything.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, but not in its __all__
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from gdsconsole.kafka.cluster.admin_client import REQUEST_TIMEOUT_S, admin_client, answer, answers
from gdsconsole.kafka.cluster.metadata import Partition, read_cluster
from gdsconsole.kafka.cluster.topic_properties import same
from gdsconsole.kafka.config import ClientSettings
from gdsconsole.kafka.errors import KafkaUnavailable, kafka_error

SETTLE_TIMEOUT_S = 30.0
_POLL_S = 0.1
_READINGS_IN_A_ROW = 6


class ChangeRefused(Exception):
    """The cluster answered, and said no; the message is its reason."""


class Origin(StrEnum):
    """Where a property's value comes from."""

    TOPIC = "topic"  # set on the topic itself
    BROKER = "broker"  # set on the brokers, for all topics without their own
    DEFAULT = "default"  # Kafka's own


@dataclass(frozen=True, slots=True)
class LiveProperty:
    value: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class LiveTopic:
    """One topic as the cluster has it. `replication_factor` is that of its least replicated partition."""

    name: str
    topic_id: str
    partitions: tuple[Partition, ...]
    replication_factor: int
    config: Mapping[str, LiveProperty]


@dataclass(frozen=True, slots=True)
class LiveTopics:
    """A reading of the cluster. `brokers` counts those that hold replicas too, live or not.

    `unread` are topics that were asked for and are there, each with why it could not be described.
    """

    cluster_id: str
    brokers: int
    topics: Mapping[str, LiveTopic]
    names: frozenset[str]  # every topic there is, those not read among them
    unread: Mapping[str, str] = field(default_factory=dict)


def describe_topics(
    settings: ClientSettings, names: Collection[str], *, timeout_s: float = REQUEST_TIMEOUT_S
) -> LiveTopics:
    """Those of `names` that exist, with their ids and properties. Raises `KafkaUnavailable`.

    One that the brokers refuse to describe, for want of an ACL for example, leaves the others known.
    """
    cluster = read_cluster(settings, timeout_s=timeout_s)
    wanted = sorted(name for name in set(names) if cluster.topics.get(name))
    config, without_config = _read_config(settings, wanted, timeout_s)
    ids, without_id = _read_ids(settings, wanted, timeout_s)
    return LiveTopics(
        cluster_id=cluster.cluster_id,
        brokers=len(cluster.expected_ids),
        topics={
            name: LiveTopic(
                name=name,
                topic_id=ids[name],
                partitions=cluster.topics[name],
                replication_factor=min(len(part.replicas) for part in cluster.topics[name]),
                config=config[name],
            )
            for name in wanted
            # Deleted between the calls: it is not there.
            if name in config and name in ids
        },
        names=frozenset(cluster.topics),
        unread={**without_id, **without_config},
    )


def create_topic(
    settings: ClientSettings,
    name: str,
    *,
    partitions: int,
    replication_factor: int,
    config: Mapping[str, str],
    timeout_s: float = SETTLE_TIMEOUT_S,
) -> bool:
    """Create the topic and wait until each partition has a leader; False when it was there already.

    Raises `ChangeRefused` with the cluster's reason, or `KafkaUnavailable`.
    """
    wanted = NewTopic(name, partitions, replication_factor, config=dict(config))
    futures = admin_client(settings).create_topics([wanted], request_timeout=timeout_s)
    try:
        answer(futures[name], settings, timeout_s=timeout_s)
    except KafkaException as error:
        cause = kafka_error(error)
        if cause is not None and cause.code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return False
        raise _refused(error) from error
    _wait_for_partitions(settings, name, partitions, timeout_s)
    return True


def add_partitions(
    settings: ClientSettings, name: str, *, total: int, timeout_s: float = SETTLE_TIMEOUT_S
) -> None:
    """Raise the number of partitions to `total` and wait until each has a leader. Raises as `create_topic`.

    Clients that were connected before see the new ones only at their next metadata refresh.
    """
    futures = admin_client(settings).create_partitions(
        [NewPartitions(name, total)], request_timeout=timeout_s
    )
    try:
        answer(futures[name], settings, timeout_s=timeout_s)
    except KafkaException as error:
        raise _refused(error) from error
    _wait_for_partitions(settings, name, total, timeout_s)


def alter_config(
    settings: ClientSettings, name: str, *, changed: Mapping[str, str], timeout_s: float = SETTLE_TIMEOUT_S
) -> None:
    """Set these properties on the topic and leave all others as they are. Raises as `create_topic`.

    Waits until readings show them: brokers take up a change one after another.
    """
    entries = [
        ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
        for key, value in sorted(changed.items())
    ]
    resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
    futures = admin_client(settings).incremental_alter_configs([resource], request_timeout=timeout_s)
    try:
        answer(futures[resource], settings, timeout_s=timeout_s)
    except KafkaException as error:
        raise _refused(error) from error
    _wait_for_config(settings, name, changed, timeout_s)


def _read_config(
    settings: ClientSettings, names: Sequence[str], timeout_s: float
) -> tuple[dict[str, dict[str, LiveProperty]], dict[str, str]]:
    """Properties by topic, and why there are none."""
    if not names:
        return {}, {}
    asked = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    try:
        futures = admin_client(settings).describe_configs(asked, request_timeout=timeout_s)
    except KafkaException as error:
        raise KafkaUnavailable(settings.bootstrap_servers, str(error)) from error
    found, failed = answers(futures, settings, timeout_s=timeout_s)
    read = {
        resource.name: {
            name: LiveProperty(str(entry.value), _origin(entry.source))
            for name, entry in sorted(entries.items())
            if entry.value is not None
        }
        for resource, entries in found.items()
    }
    return read, _unread({resource.name: error for resource, error in failed.items()})


def _read_ids(
    settings: ClientSettings, names: Sequence[str], timeout_s: float
) -> tuple[dict[str, str], dict[str, str]]:
    """Ids by topic, and why there are none."""
    if not names:
        return {}, {}
    futures = admin_client(settings).describe_topics(TopicCollection(list(names)), request_timeout=timeout_s)
    found, failed = answers(futures, settings, timeout_s=timeout_s)
    return {name: str(topic.topic_id) for name, topic in found.items()}, _unread(failed)


def _unread(failed: Mapping[str, KafkaError]) -> dict[str, str]:
    """Why each could not be read; one that was deleted between two calls is not there at all."""
    return {
        name: error.str()
        for name, error in failed.items()
        if error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART
    }


def _wait_for_partitions(settings: ClientSettings, name: str, total: int, timeout_s: float) -> None:
    """Until every broker shows them with leaders.

    Brokers hear of a change one after another, and whoever asks next may ask any of them.
    """
    deadline = time.monotonic() + timeout_s
    waiting = {broker.address for broker in read_cluster(settings).brokers}
    while waiting:
        for address in sorted(waiting):
            if _shows(settings, address, name, total):
                waiting.remove(address)
        if waiting and time.monotonic() >= deadline:
            raise ChangeRefused(
                f"{name}: {', '.join(sorted(waiting))} did not show it within {timeout_s:g} s"
            )
        if waiting:
            time.sleep(_POLL_S)


def _shows(settings: ClientSettings, address: str, name: str, total: int) -> bool:
    """Whether the broker at this address knows the partitions; one that is down need not."""
    try:
        seen = read_cluster(replace(settings, bootstrap_servers=address)).topics.get(name, ())
    except KafkaUnavailable:
        return True
    return len(seen) >= total and all(part.leader is not None for part in seen)


def _wait_for_config(
    settings: ClientSettings, name: str, changed: Mapping[str, str], timeout_s: float
) -> None:
    """Until readings in a row show it: which broker answers each can't be chosen."""
    deadline = time.monotonic() + timeout_s
    in_a_row = 0
    while in_a_row < _READINGS_IN_A_ROW:
        # A fresh reading of the cluster also picks another broker to ask.
        read_cluster(settings)
        seen = _read_config(settings, [name], REQUEST_TIMEOUT_S)[0].get(name, {})
        shown = all(key in seen and same(key, seen[key].value, value) for key, value in changed.items())
        in_a_row = in_a_row + 1 if shown else 0
        if time.monotonic() >= deadline:
            raise ChangeRefused(f"{name}: the new properties did not show within {timeout_s:g} s")
        time.sleep(_POLL_S)


def _origin(source: int) -> Origin:
    if source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value:
        return Origin.TOPIC
    return Origin.DEFAULT if source == ConfigSource.DEFAULT_CONFIG.value else Origin.BROKER


def _refused(error: KafkaException) -> ChangeRefused:
    cause = kafka_error(error)
    return ChangeRefused(cause.str() if cause is not None else str(error))
