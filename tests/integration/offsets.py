"""What a group has committed and where its partitions end, as the coordinator and the leaders say."""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from tests.waiting import wait_until

# A coordinator that moves, or still loads its group: on a busy machine that lasts for seconds.
_MOVING = {
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError._TIMED_OUT,
    KafkaError._TRANSPORT,
}


def committed_offsets(consumer: Consumer, parts: Sequence[TopicPartition]) -> list[int]:
    """By partition; -1001 where there is no commit."""

    def ask() -> list[TopicPartition] | None:
        try:
            return consumer.committed(list(parts), timeout=10)
        except KafkaException as error:
            if error.args[0].code() in _MOVING:
                return None
            raise

    return [part.offset for part in wait_until(ask, 60, "the group's coordinator answers")]


def end_offsets(consumer: Consumer, parts: Sequence[TopicPartition]) -> list[int]:
    """By partition."""
    return [consumer.get_watermark_offsets(part, timeout=10)[1] for part in parts]
