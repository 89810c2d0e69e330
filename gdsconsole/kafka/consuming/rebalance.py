"""What has to happen around a change of a consumer's partitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from gdsconsole.kafka.partitions import TopicIdPartition, TopicPartition

# The committed offset of each partition, None where there is none, and the stored one.
Starts = Mapping[TopicIdPartition, tuple[int | None, int]]


class RebalanceListener(Protocol):
    """Told by `Assignment`, on the consumer's thread, some of it inside `consume()`.

    There `before_revocation`, `lost` and `forget` are called: they must not raise. `prepare` and `placed`
    may, and the partitions are placed again a little later.
    """

    def before_revocation(self, tps: Sequence[TopicPartition]) -> None:
        """Commit what is safe of these, within a bound: another consumer gets them."""
        ...

    def lost(self, reason: str) -> None:
        """Void what was sent on and isn't committed: partitions were lost, or not placed after all."""
        ...

    def forget(self, tps: Sequence[TopicPartition]) -> None:
        """Drop what was read of these and waits to be handled."""
        ...

    def prepare(self) -> None:
        """Partitions are about to be placed at their committed offsets."""
        ...

    def placed(self, starts: Starts) -> None:
        """Where partitions start, before their first records come."""
        ...

    def made_again(self, topic: str) -> None:
        """The topic is read from its beginning: the group has read another one by that name."""
        ...
