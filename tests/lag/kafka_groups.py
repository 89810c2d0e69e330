"""What tests of lag do to a real cluster: write, consume, commit."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from gdsconsole.kafka.browsing.record_times import RecordTimes
from gdsconsole.kafka.config import ClientSettings
from lag.group_readings import GroupReading, GroupsSnapshot, PartitionReading
from lag.group_sampler import take_snapshot
from tests.waiting import wait_until

_DELETE = """
import sys
from confluent_kafka.admin import AdminClient
admin = AdminClient({"bootstrap.servers": sys.argv[1], "log_level": 0})
for future in admin.delete_consumer_groups(sys.argv[2:], request_timeout=10).values():
    future.exception(20)
"""


class Groups:
    """Consumer groups of one test, each under a name of its own."""

    def __init__(self, bootstrap_servers: str, admin: AdminClient) -> None:
        self.settings = ClientSettings(bootstrap_servers)
        self.times = RecordTimes(self.settings)
        self._admin = admin
        self._servers = bootstrap_servers
        self._made: list[str] = []

    def name(self) -> str:
        self._made.append(f"lag-{uuid.uuid4().hex[:10]}")
        return self._made[-1]

    def produce(self, topic: str, count: int, *, partition: int = 0, transactional: bool = False) -> None:
        config: dict[str, Any] = {"bootstrap.servers": self._servers, "linger.ms": 5}
        if transactional:
            config["transactional.id"] = f"lag-tests-{uuid.uuid4().hex}"
        producer = Producer(config)
        if transactional:
            producer.init_transactions(30)
            producer.begin_transaction()
        for number in range(count):
            producer.produce(topic, str(number).encode(), partition=partition)
        if transactional:
            producer.commit_transaction(30)
        assert producer.flush(30) == 0

    def commit(self, group: str, topic: str, offsets: Mapping[int, int], *, metadata: str = "") -> None:
        """Commits of a group without members, as a tool or a hand-assigned consumer makes them."""
        wanted = [
            TopicPartition(topic, partition, offset, metadata=metadata)
            for partition, offset in offsets.items()
        ]

        def done() -> bool:
            asked = ConsumerGroupTopicPartitions(group, wanted)
            answer = self._admin.alter_consumer_group_offsets([asked])[group].result(30)
            return all(part.error is None for part in answer.topic_partitions)

        wait_until(done, 30, f"{group} has its commits")

    @contextmanager
    def member(self, group: str, topic: str, *, read: int = 0, **config: Any) -> Iterator[Consumer]:
        """A member that has read and committed so many records, while it stays in the group."""
        consumer = Consumer(
            {
                "bootstrap.servers": self._servers,
                "group.id": group,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                **config,
            }
        )
        try:
            consumer.subscribe([topic])
            found: list[Any] = []

            def consumed() -> bool:
                for record in consumer.consume(read - len(found) or 1, 0.2):
                    assert record.error() is None or record.error().code() == KafkaError._PARTITION_EOF
                    found.append(record)
                return len(found) >= read and bool(consumer.assignment())

            wait_until(consumed, 60, f"{group} has its partitions and {read} records")
            if read:
                consumer.commit(asynchronous=False)
            yield consumer
        finally:
            consumer.close()

    def snapshot(self, *groups: str) -> GroupsSnapshot:
        return take_snapshot(
            self.settings,
            times=self.times,
            wanted=lambda group: group in groups,
            known=groups,
            rated_topics=[],
        )

    def read(self, group: str) -> GroupReading:
        (found,) = self.snapshot(group).groups
        return found

    def partitions(self, group: str) -> dict[int, PartitionReading]:
        return {part.partition: part for part in self.read(group).partitions}

    def delete_all(self) -> None:
        """By a process of its own, which the client library ends when a coordinator moves meanwhile."""
        if self._made:
            words = [sys.executable, "-c", _DELETE, self._servers, *self._made]
            subprocess.run(words, check=False, capture_output=True, timeout=60)
