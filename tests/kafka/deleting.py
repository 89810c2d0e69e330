"""Deletes records from a partition's start, as retention does."""

from __future__ import annotations

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.waiting import wait_until


def delete_before(admin: AdminClient, topic: str, partition: int, offset: int) -> None:
    """Returns when the log of the partition starts at `offset`."""

    def done() -> bool:
        asked = admin.delete_records([TopicPartition(topic, partition, offset)])
        try:
            for future in asked.values():
                future.result(30)
        except KafkaException as error:
            # The broker that was asked may not have heard yet who leads a new topic's partitions.
            if error.args[0].code() == KafkaError._NOENT:
                return False
            raise
        return True

    wait_until(done, 30, f"{topic}-{partition} starts at {offset}")
