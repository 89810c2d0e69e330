"""The embedded cluster does what the fault tests ask of it."""

from __future__ import annotations

import urllib.request

import pytest
from confluent_kafka.admin import AdminClient

from gdsconsole.devstack import kafka_cluster
from gdsconsole.devstack.kafka_cluster import KafkaCluster
from tests.waiting import wait_until

pytestmark = pytest.mark.kafka


def test_every_broker_sees_all_three(kafka: KafkaCluster) -> None:
    for broker_id in (1, 2, 3):
        seen = kafka_cluster.view(kafka.layout, broker_id)
        assert seen is not None
        assert seen.broker_ids == {1, 2, 3}
        assert seen.controller_id in {1, 2, 3}


def test_the_broker_tells_its_metrics(kafka: KafkaCluster) -> None:
    with urllib.request.urlopen(kafka.layout.metrics_urls[0], timeout=10) as reply:
        told = reply.read().decode()
    assert "\nkafka_server_replicamanager_underreplicatedpartitions 0.0" in told


def test_a_topic_is_not_made_by_asking_for_it(kafka: KafkaCluster, kafka_admin: AdminClient) -> None:
    kafka_admin.list_topics("gds.nobody.made.this", timeout=5)
    assert "gds.nobody.made.this" not in kafka_admin.list_topics(timeout=5).topics


def test_a_killed_broker_leaves_the_others_leading_and_comes_back(
    kafka: KafkaCluster, fresh_topic: str, kafka_admin: AdminClient
) -> None:
    def leaders() -> set[int]:
        parts = kafka_admin.list_topics(fresh_topic, timeout=5).topics[fresh_topic].partitions
        return {part.leader for part in parts.values()}

    kafka.broker(2).kill()
    assert kafka_cluster.view(kafka.layout, 2) is None
    wait_until(lambda: leaders() <= {1, 3}, 20, "the partitions of broker 2 have other leaders")
    kafka.broker(2).start()
    seen = kafka_cluster.view(kafka.layout, 1)
    assert seen is not None
    assert seen.broker_ids == {1, 2, 3}


def test_a_frozen_broker_keeps_its_process_and_gives_no_answer(kafka: KafkaCluster) -> None:
    kafka.broker(3).freeze()
    try:
        assert kafka_cluster.view(kafka.layout, 3, timeout_s=0.5) is None
        assert kafka.broker(3).is_running
    finally:
        kafka.broker(3).thaw()
    kafka.wait_ready()
