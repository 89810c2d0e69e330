"""Kafka as the replayer needs it: a cluster, a topic to send to, and what a reader there sees."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from gdsconsole.devstack.kafka_cluster import KafkaCluster
from gdsconsole.kafka.config import ClientSettings


@dataclass(frozen=True)
class ReplaySpace:
    """One test's target topic, and names of its own for the replayer and its ledger."""

    client: ClientSettings
    target: str
    transactional_id: str
    ledger_topic: str

    def read(self, topic: str | None = None) -> list[Message]:
        """What `read_committed` sees of a topic, from its start to its last stable offset."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.client.bootstrap_servers,
                "group.id": f"reader-{uuid.uuid4().hex}",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
            }
        )
        name = topic or self.target
        try:
            partitions = consumer.list_topics(name, timeout=10).topics[name].partitions
            consumer.assign([TopicPartition(name, number, 0) for number in partitions])
            found: list[Message] = []
            ended: set[int | None] = set()
            while len(ended) < len(partitions):
                record = consumer.poll(20)
                assert record is not None, f"{name} was not read to its end in 20 s"
                error = record.error()
                if error is None:
                    found.append(record)
                elif error.code() == KafkaError._PARTITION_EOF:
                    ended.add(record.partition())
                else:
                    raise AssertionError(error.str())
            return found
        finally:
            consumer.close()


@pytest.fixture
def space(
    kafka: KafkaCluster, topic_factory: Callable[..., str], kafka_admin: AdminClient, settings: Any
) -> Iterator[ReplaySpace]:
    organization = f"t{uuid.uuid4().hex[:8]}"
    settings.GDS_ORGANIZATION = organization
    settings.KAFKA_BOOTSTRAP_SERVERS = kafka.bootstrap_servers
    ledger = f"{organization}.replays.production"
    yield ReplaySpace(
        client=ClientSettings(kafka.bootstrap_servers),
        target=topic_factory(partitions=3),
        transactional_id=f"{organization}-replayer",
        ledger_topic=ledger,
    )
    kafka_admin.delete_topics([ledger])[ledger].exception(30)
