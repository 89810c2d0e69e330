"""Consumer groups of the tests, who looks at the pages, and samples as fresh as a page wants them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from django.test import Client
from django.utils import timezone

from gdsconsole.devstack.kafka_cluster import KafkaCluster
from lag.models import BrokerSample, GroupSample
from tests.factories import make_broker_sample, make_group_sample
from tests.lag.kafka_groups import Groups

GroupNow = Callable[..., GroupSample]


@pytest.fixture
def groups(kafka: KafkaCluster, kafka_admin: AdminClient) -> Iterator[Groups]:
    """Consumer groups of this test, deleted after it."""
    made = Groups(kafka.bootstrap_servers, kafka_admin)
    yield made
    kafka.restore()
    made.delete_all()


@pytest.fixture
def viewer(client_of: Callable[[str], Client], settings: Any) -> Client:
    # Nothing listens there: what a page needs of the cluster itself, it must do without.
    settings.KAFKA_BOOTSTRAP_SERVERS = "127.0.0.1:1"
    return client_of("viewer")


@pytest.fixture
def group_now(db: None) -> GroupNow:
    """Stores a sample of a group; those of one test share a tick, `ago_s` before now."""
    tick = timezone.now()

    def make(group: str, *, ago_s: float = 0.0, **changes: Any) -> GroupSample:
        return make_group_sample(group=group, sampled_at=tick - timedelta(seconds=ago_s), **changes)

    return make


@pytest.fixture
def brokers_now(db: None) -> Callable[..., BrokerSample]:
    """Stores a sample of the cluster, `ago_s` before now."""

    def make(*, ago_s: float = 0.0, **changes: Any) -> BrokerSample:
        return make_broker_sample(sampled_at=timezone.now() - timedelta(seconds=ago_s), **changes)

    return make


def text_of(response: Any) -> str:
    return " ".join(response.content.decode().split())
