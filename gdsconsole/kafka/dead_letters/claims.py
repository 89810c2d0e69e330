"""Who writes the dead letter of a record that no group can decode: whichever claims it, for all of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from gdsconsole.kafka.partitions import TopicIdPartition


class RecordClaim(NamedTuple):
    """A record, for good and whichever group meets it."""

    partition: TopicIdPartition
    offset: int


@dataclass(frozen=True, slots=True)
class ClaimResult:
    """What became of claims: `mine` are the caller's to write, of `safe` the letter is acknowledged.

    Those in neither are another group's, which is about to write them, or has died over it.
    """

    mine: frozenset[RecordClaim]
    safe: frozenset[RecordClaim]


class ClaimStore(Protocol):
    """Shared by all groups. Every method may raise, for a database that is away, and is then called again."""

    def claim(self, records: Collection[RecordClaim]) -> ClaimResult:
        """Take what is free, ours already, or was left by whoever claimed it for too long."""
        ...

    def settle(self, records: Collection[RecordClaim]) -> None:
        """The dead letters of these are safe: no group needs to write them any more."""
        ...
