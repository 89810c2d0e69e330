"""The Kafka client of one consumer of a pipeline: a static member of its group."""

from __future__ import annotations

import time
from contextlib import suppress

from confluent_kafka import KafkaException

from gdsconsole.env import GroupProtocol
from gdsconsole.kafka.clients import ClientHooks, Source, new_consumer
from gdsconsole.kafka.config import ClientSettings, ConfigValue

LEAVE_TIMEOUT_S = 5.0

DEFAULTS: dict[str, ConfigValue] = {
    # Topics made, and partitions added, while a pipeline runs are found within this.
    "topic.metadata.refresh.interval.ms": 5_000,
    # A quiet topic's record waits for others to be fetched with. The guide's 500 ms would be most of the
    # time from a metric to its alert.
    "fetch.wait.max.ms": 100,
    # What is fetched ahead of a consumer that is behind. The default of 64 MB, of which 100,000 messages are
    # held at least, made a consumer 200 MB larger, and no faster than this.
    "queued.max.messages.kbytes": 8_192,
}
PROTOCOLS: dict[GroupProtocol, dict[str, ConfigValue]] = {
    "classic": {
        # A restart within it moves no partition; a consumer that is gone for good is replaced after it.
        "session.timeout.ms": 30_000,
        # Moves no more partitions than it must, and the others are read meanwhile.
        "partition.assignment.strategy": "cooperative-sticky",
    },
    # KIP-848: the broker assigns, always as the above would, and sets the session's timeout.
    "consumer": {"group.protocol": "consumer"},
}


def open_member(
    settings: ClientSettings,
    *,
    group: str,
    slot: int,
    hooks: ClientHooks,
    protocol: GroupProtocol = "classic",
) -> Source:
    """The client of the group's consumer number `slot`, not yet subscribed.

    Two processes that open the same slot are one member to Kafka. By the classic protocol the later
    fences the earlier. By KIP-848 the later is refused (`MemberNotReleased`) until the earlier has left,
    or its session is over.
    """
    chosen = DEFAULTS | PROTOCOLS[protocol]
    # What the environment sets, it sets for good.
    defaults = {name: value for name, value in chosen.items() if name not in settings.overrides}
    return new_consumer(
        settings,
        group_id=group,
        client_id=f"{group}-{slot}",
        hooks=hooks,
        group_instance_id=f"{group}-{slot}",
        # The runtime starts every partition at an offset of its own choice. If that offset is gone,
        # records were lost, which must be said: a reset would step over them in silence.
        auto_offset_reset="error",
        enable_partition_eof=True,
        **defaults,
    )


def leave(source: Source) -> None:
    """Leave the group for good, with what a revocation commits, and close the client.

    A static member that only closes is given what it had when it comes back, though its topic may have other
    partitions by then. What is still read is dropped.
    """
    with suppress(KafkaException):
        source.unsubscribe()
        deadline = time.monotonic() + LEAVE_TIMEOUT_S
        while source.assignment() and time.monotonic() < deadline:
            source.consume(1, 0.1)
    source.close()
