"""One partition that a consumer holds, and where it stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from gdsconsole.kafka.consuming.halts import Decision, PartitionHalt
from gdsconsole.kafka.consuming.retries import Breaker, Failure
from gdsconsole.kafka.partitions import TopicIdPartition, TopicPartition


class Phase(Enum):
    PLACING = "placing"
    RUNNING = "running"
    BACKOFF = "backoff"
    HALTED = "halted"
    """Stands until a person decides."""


@dataclass(slots=True)
class AssignedPartition:
    """One partition. Records are wanted from `position` on, while RUNNING."""

    tp: TopicPartition
    breaker: Breaker
    phase: Phase = Phase.PLACING
    id: TopicIdPartition | None = None
    position: int = 0
    # What the step's progress says; a batch's move starts here.
    stored: int = 0
    # Records below are handled one by one, because one of them failed for no known reason.
    suspect_until: int = 0
    # Offsets at or beyond `position` whose dead letters are safe already.
    buried: set[int] = field(default_factory=set)
    # Set when the partition is to be read again from somewhere: what was said of its end is void.
    rewound: bool = False
    failure: Failure | None = None
    # Where it halted, or is to be halted again after what is read twice; see `halting.py`.
    halt: PartitionHalt | None = None
    halt_is_stored: bool = False
    stop_at: int | None = None
    # Whether its breaker, and its consumer's, look at what passes.
    armed: bool = True
    wake_at: float = 0.0
    reason: str = ""

    def takes(self, offset: int) -> bool:
        """Whether the record at this offset is to be handled now."""
        if self.phase is not Phase.RUNNING or offset < self.position:
            return False
        return self.stop_at is None or offset < self.stop_at

    @property
    def is_waiting(self) -> bool:
        """Whether it goes on by itself, once something is over."""
        return self.phase in (Phase.PLACING, Phase.BACKOFF)

    @property
    def name(self) -> str:
        return str(self.tp)


def stop_of(held: AssignedPartition) -> int | None:
    """Where the partition is to halt again, given where it starts. Pure.

    It starts below its halt where not all was committed that was handled before it.
    """
    halt = held.halt
    if halt is None or halt.decision is Decision.DEAD_LETTER:
        return None
    if halt.decision is Decision.SKIP and halt.skip_to is not None and held.position < halt.skip_to:
        return max(halt.offset, held.position)
    return halt.offset if held.position <= halt.offset else None
