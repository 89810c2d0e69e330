"""What a group has committed and where its partitions end, as the coordinator and the leaders say."""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, TopicPartition

_MOVING = {
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
}


def committed_offsets(consumer: Consumer, parts: Sequence[TopicPartition]) -> list[int]:
    """By partition; -1001 where there is no commit, or none is known because the coordinator moves.

    It is asked once: how long that may last is for the test to say.
    """
    try:
        return [part.offset for part in consumer.committed(list(parts), timeout=10)]
    except KafkaException as error:
        if error.args[0].code() in _MOVING:
            return [OFFSET_INVALID] * len(parts)
        raise


def end_offsets(consumer: Consumer, parts: Sequence[TopicPartition]) -> list[int]:
    """By partition."""
    return [consumer.get_watermark_offsets(part, timeout=10)[1] for part in parts]
