"""What the client says of a partition in place of a record: its log ends here, or has no such offset."""

from __future__ import annotations

import logging

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from gdsconsole.kafka.clients import Record, Source
from gdsconsole.kafka.consuming.assigned_partition import AssignedPartition, Phase
from gdsconsole.kafka.consuming.assignment import Assignment
from gdsconsole.kafka.consuming.batching import offset_of, partition_of
from gdsconsole.kafka.consuming.retries import reason_of
from gdsconsole.kafka.offsets.safe_offsets import OffsetTracker
from gdsconsole.kafka.status import Counters

log = logging.getLogger(__name__)

WATERMARK_TIMEOUT_S = 2.0


class PartitionEvents:
    def __init__(
        self, *, group: str, assignment: Assignment, offsets: OffsetTracker, counters: Counters
    ) -> None:
        self._group = group
        self._assignment = assignment
        self._offsets = offsets
        self._counters = counters

    def take(self, event: Record, error: KafkaError, source: Source) -> bool:
        """Whether the event was of a partition; what it says of one that isn't read now is over."""
        if error.code() not in (KafkaError._PARTITION_EOF, KafkaError._AUTO_OFFSET_RESET):
            return False
        held = self._assignment.get(partition_of(event)) if event.topic() else None
        if held is None or held.phase is not Phase.RUNNING or held.rewound:
            return True
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            self._go_where_the_log_is(held, source)
        elif offset_of(event) >= held.position:
            # Nothing but transaction markers is left: committing this leaves no lag of 1 for ever.
            self._offsets.skip(held.tp, offset_of(event))
            held.position = offset_of(event)
        return True

    def _go_where_the_log_is(self, held: AssignedPartition, source: Source) -> None:
        """It wants an offset that its log doesn't have, deleted by retention or not written yet."""
        part = TopicPartition(*held.tp)
        try:
            low, high = source.get_watermark_offsets(part, timeout=WATERMARK_TIMEOUT_S, cached=False)
        except KafkaException as error:
            self._assignment.place_again([held], reason_of(error))
            return
        wanted = held.position
        if wanted < low:
            self._counters.lost += low - wanted
            log.error(
                "%s lost %d records of %s: %d to %d were deleted before they were read",
                self._group,
                low - wanted,
                held.name,
                wanted,
                low - 1,
            )
            self._offsets.skip(held.tp, low)
            self._assignment.rewind(held, low)
        elif wanted > high:
            # The log ends before what was read of it: truncated, or another topic under the name.
            log.error("%s: %s ends at %d, before %d", self._group, held.name, high, wanted)
            self._assignment.start_over(held, high)
        else:
            self._assignment.rewind(held, wanted)
