"""Records that a step hands on to other topics, and the offsets that may be committed behind them.

A step calls `send` while it handles a batch; nothing leaves before `handle` has returned. The console has one
way to do it: `InTransactions` (`transactional.py`) commits records and offsets in one Kafka transaction, so
that readers of committed data see each exactly once. Tests and a benchmark run the runtime over another way
beside it, which commits offsets once the records have arrived and repeats some after a crash.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from gdsconsole.kafka.clients import Producer
from gdsconsole.kafka.offsets.safe_offsets import Stretch
from gdsconsole.kafka.producing.room import produce_with_room
from gdsconsole.kafka.producing.sender import OutgoingRecord, SendStalled

# How long a full buffer may keep the loop from polling before the batch is put off.
ROOM_TIMEOUT_S = 5.0

Outgoing = tuple[str, list[OutgoingRecord]]


class NotDelivered(Exception):
    """Records didn't arrive. `stretches` are those they came from, which must be read again.

    `transient` says whether an outage is the cause (try again) or the cluster refuses them (halt). For a way
    that learns of it record by record: a transaction fails as one, with its commit.
    """

    def __init__(self, reason: str, stretches: Sequence[Stretch], *, transient: bool) -> None:
        super().__init__(reason)
        self.stretches = stretches
        self.transient = transient


class Forwarding(Protocol):
    """Used on one thread: `send` by the step, the rest by the runtime."""

    def send(self, topic: str, records: list[OutgoingRecord]) -> None:
        """Hand records on, once the batch that is being handled has been."""
        ...

    def seal(self, stretches: Sequence[Stretch]) -> None:
        """The batch with these stretches is handled: let go what was sent during it.

        Raises `TransientError` when there is no room for it; the batch must be handled again then.
        """
        ...

    def drop(self) -> None:
        """The batch failed: what was sent during it isn't let go."""
        ...

    def settled(self) -> Sequence[Stretch]:
        """The stretches whose offsets may be committed now. Raises `NotDelivered`."""
        ...

    def finish(self, timeout_s: float) -> None:
        """Wait for what is on its way, within the bound."""
        ...

    def close(self) -> None:
        """Give up what is on its way. Called once."""
        ...


class Forwarded:
    """What a step has sent during the batch it handles."""

    def __init__(self) -> None:
        self._waiting: list[Outgoing] = []

    def send(self, topic: str, records: list[OutgoingRecord]) -> None:
        if records:
            self._waiting.append((topic, records))

    def drop(self) -> None:
        self._waiting = []

    def taken(self) -> list[Outgoing]:
        """All of it, once."""
        waiting, self._waiting = self._waiting, []
        return waiting


def produce(
    producer: Producer,
    topic: str,
    records: list[OutgoingRecord],
    deadline: float,
    clock: Callable[[], float],
    *,
    on_delivery: Any = None,
) -> None:
    """Put all of these into the producer's buffer, in order, waiting for room until `deadline`.

    Raises `SendStalled` when there is none, and `KafkaException` for a record it won't take. Some may
    be in the buffer by then.
    """
    for record in records:
        produce = partial(
            producer.produce,
            topic,
            record.value,
            record.key,
            on_delivery=on_delivery,
            timestamp=record.timestamp_ms,
            headers=record.headers,
        )
        produce_with_room(produce, lambda: _wait_for_room(producer, deadline, clock))


def _wait_for_room(producer: Producer, deadline: float, clock: Callable[[], float]) -> bool:
    if clock() >= deadline:
        raise SendStalled(f"{len(producer)} records wait to be sent onward, and there is no room for more")
    producer.poll(0.05)
    return True
