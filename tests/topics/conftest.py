"""Clients of the four roles, and a cluster as the pages would read it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from gdsconsole.kafka.cluster.metadata import Partition
from gdsconsole.kafka.cluster.topic_admin import LiveProperty, LiveTopic, LiveTopics, Origin
from gdsconsole.kafka.errors import KafkaUnavailable
from topics.definitions.cluster_cache import Reading
from topics.models import TopicDefinition


@pytest.fixture
def operator(client_of: Callable[[str], Client]) -> Client:
    return client_of("operator")


@pytest.fixture
def cluster_is(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`cluster_is(live_topic(...), ...)` is what the pages find there; `cluster_is(error="…")`, nothing.

    `cluster_is(**{"topic": "why"})` is a topic that is there and isn't described.
    """

    def say(
        *topics: LiveTopic, error: str = "", brokers: int = 3, others: tuple[str, ...] = (), **unread: str
    ) -> None:
        found = {topic.name: topic for topic in topics}
        live = LiveTopics("cluster", brokers, found, frozenset({*found, *others, *unread}), unread)
        reading = Reading(None, KafkaUnavailable("kafka:9092", error)) if error else Reading(live)
        for reader in ("topics.definitions.views", "topics.messages.search"):
            monkeypatch.setattr(f"{reader}.cluster_now", lambda: reading)

    return say


def live_topic(definition: TopicDefinition, **changes: Any) -> LiveTopic:
    """The topic as its definition declares it, but for `config`, `partitions` and `replicas`."""
    own = {**definition.declared_config(), **changes.get("config", {})}
    factor = changes.get("replicas", definition.replication_factor)
    replicas = tuple(range(1, factor + 1))
    return LiveTopic(
        name=definition.name,
        topic_id="hJ7x0yXjQW2mT1b3bqfRDA",
        partitions=tuple(
            Partition(definition.name, number, 1, replicas, changes.get("in_sync", replicas))
            for number in range(changes.get("partitions", definition.partitions))
        ),
        replication_factor=factor,
        config={name: LiveProperty(value, Origin.TOPIC) for name, value in own.items()},
    )
