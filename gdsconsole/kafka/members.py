"""The consumer of one copy: a static member of its group."""

from __future__ import annotations

from gdsconsole.kafka.clients import ClientHooks, Source, new_consumer
from gdsconsole.kafka.config import ClientSettings

# A restart within it moves no partition; a copy that is gone for good is replaced after it.
SESSION_TIMEOUT_MS = 30_000
# Topics made, and partitions added, while a pipeline runs are found within this.
METADATA_EVERY_MS = 5_000


def open_member(settings: ClientSettings, *, group: str, slot: int, hooks: ClientHooks) -> Source:
    """The consumer of the group's copy number `slot`, not yet subscribed.

    Two processes that open the same slot are one member to Kafka: the later fences the earlier.
    """
    return new_consumer(
        settings,
        group_id=group,
        client_id=f"{group}-{slot}",
        hooks=hooks,
        group_instance_id=f"{group}-{slot}",
        session_timeout_ms=SESSION_TIMEOUT_MS,
        partition_assignment_strategy="cooperative-sticky",
        topic_metadata_refresh_interval_ms=METADATA_EVERY_MS,
        # The runtime starts every partition at an offset of its own choice. If that offset is gone,
        # records were lost, which must be said: a reset would step over them in silence.
        auto_offset_reset="error",
        enable_partition_eof=True,
    )
