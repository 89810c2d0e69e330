"""A partition that wants an offset which its log doesn't have: deleted by retention, or not written yet."""

from __future__ import annotations

import logging

from confluent_kafka import KafkaException, TopicPartition

from gdsconsole.kafka.clients import Source
from gdsconsole.kafka.consuming.assigned_partition import AssignedPartition
from gdsconsole.kafka.consuming.assignment import Assignment
from gdsconsole.kafka.consuming.retries import reason_of
from gdsconsole.kafka.offsets.safe_offsets import OffsetTracker
from gdsconsole.kafka.status import Counters

log = logging.getLogger(__name__)

WATERMARK_TIMEOUT_S = 2.0


def go_where_the_log_is(
    held: AssignedPartition,
    source: Source,
    assignment: Assignment,
    offsets: OffsetTracker,
    counters: Counters,
    *,
    group: str,
) -> None:
    """Go on where the log is, and say what was lost."""
    part = TopicPartition(*held.tp)
    try:
        low, high = source.get_watermark_offsets(part, timeout=WATERMARK_TIMEOUT_S, cached=False)
    except KafkaException as error:
        assignment.place_again([held], reason_of(error))
        return
    wanted = held.position
    if wanted < low:
        counters.lost += low - wanted
        log.error(
            "%s lost %d records of %s: %d to %d were deleted before they were read",
            group,
            low - wanted,
            held.name,
            wanted,
            low - 1,
        )
        offsets.skip(held.tp, low)
        assignment.rewind(held, low)
    elif wanted > high:
        # The log ends before what was read of it: truncated, or another topic under the name.
        log.error("%s: %s ends at %d, before %d", group, held.name, high, wanted)
        assignment.start_over(held, high)
    else:
        assignment.rewind(held, wanted)
