from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka.admin import AdminClient

from gdsconsole.devstack.kafka_cluster import KafkaCluster
from tests.lag.kafka_groups import Groups


@pytest.fixture
def groups(kafka: KafkaCluster, kafka_admin: AdminClient) -> Iterator[Groups]:
    """Consumer groups of this test, deleted after it."""
    made = Groups(kafka.bootstrap_servers, kafka_admin)
    yield made
    made.delete_all()
