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
        settings,
        group_id=group,
        isolation_level=isolation_level,
        enable_partition_eof=True,
        fetch_min_bytes=1,
    )
    try:
        partitions = source.list_topics(topic, 10).topics[topic].partitions
        ends = {n: source.get_watermark_offsets(TopicPartition(topic, n), 10) for n in partitions}
        source.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        waiting = {partition: end for partition, (begin, end) in ends.items() if begin < end}
        return _until_the_end(source.consume, waiting, timeout_s)
    finally:
        source.close()


def _until_the_end(consume: Callable[..., list[Any]], waiting: dict[int, int], timeout_s: float) -> list[Any]:
    """`waiting`: the end offset of each partition that isn't read yet."""
    records: list[Any] = []
    deadline = time.monotonic() + timeout_s
    while waiting:
        assert time.monotonic() < deadline, f"partitions not read to their ends in {timeout_s} s: {waiting}"
        for record in consume(500, 0.05):
            error, partition = record.error(), record.partition()
            if error is None:
                records.append(record)
            else:
                assert error.code() == KafkaError._PARTITION_EOF, error
            # Transaction markers have offsets and are no records, so an end may only show as an event.
            if error is not None or record.offset() + 1 >= waiting.get(partition, 0):
                waiting.pop(partition, None)
    return sorted(records, key=lambda record: (record.partition(), record.offset()))
