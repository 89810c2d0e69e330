"""A partition of a topic, alone, with an offset, and for good: one type each. Pure."""

from __future__ import annotations

from typing import NamedTuple


class TopicPartition(NamedTuple):
    """Topic name and partition number, as the client names a partition."""

    topic: str
    partition: int

    @classmethod
    def named(cls, name: str) -> TopicPartition:
        """What `gds.metrics.production-7` names. Raises ValueError for what names no partition."""
        topic, _, number = name.rpartition("-")
        return cls(topic, int(number))

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}"


class TopicPartitionOffset(NamedTuple):
    """A record's coordinates."""

    topic: str
    partition: int
    offset: int


class TopicIdPartition(NamedTuple):
    """A partition for good: a topic that is deleted and made again has another `topic_id`."""

    topic: str
    partition: int
    topic_id: str
    cluster_id: str
