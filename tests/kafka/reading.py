"""Reads a topic from its first record to its end."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, TopicPartition

from gdsconsole.kafka.clients import ClientSettings, new_consumer


def read_all(
    settings: ClientSettings, topic: str, *, isolation_level: str = "read_committed", timeout_s: float = 30.0
) -> list[Any]:
    """Every record of the topic as of now, partition by partition; fails after `timeout_s`."""
    group = f"reading-{uuid.uuid4().hex}"
    source = new_consumer(
        settings, group_id=group, isolation_level=isolation_level, enable_partition_eof=True
    )
    try:
        partitions = source.list_topics(topic, 10).topics[topic].partitions
        source.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        return _until_the_end(source.consume, len(partitions), timeout_s)
    finally:
        source.close()


def _until_the_end(consume: Callable[..., list[Any]], partitions: int, timeout_s: float) -> list[Any]:
    records: list[Any] = []
    ended: set[int] = set()
    deadline = time.monotonic() + timeout_s
    while len(ended) < partitions:
        assert time.monotonic() < deadline, f"{len(ended)} of {partitions} partitions read in {timeout_s} s"
        for record in consume(500, 0.5):
            error = record.error()
            if error is None:
                records.append(record)
            else:
                assert error.code() == KafkaError._PARTITION_EOF, error
                ended.add(record.partition())
    return sorted(records, key=lambda record: (record.partition(), record.offset()))
