"""Records that a step hands on to other topics, and the offsets that may be committed behind them.

A step calls `send` while it handles a batch; nothing leaves before `handle` has returned. There are two
promises to choose from: `AfterDelivery` commits a batch's offsets once its records have arrived, so a
crash repeats some of them; `InTransactions` (`transactional.py`) commits both in one Kafka transaction,
so that readers of committed data see each exactly once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from confluent_kafka import KafkaError, KafkaException

from gdsconsole.kafka.clients import Producer, Record
from gdsconsole.kafka.errors import FailureKind, classify_kafka, describe, kafka_error
from gdsconsole.kafka.offsets.safe_offsets import Stretch
from gdsconsole.kafka.producing.room import produce_with_room
from gdsconsole.kafka.producing.sender import OutgoingRecord, SendStalled, by_value

# How long a full buffer may keep the loop from polling before the batch is put off.
ROOM_TIMEOUT_S = 5.0

Outgoing = tuple[str, list[OutgoingRecord]] | tuple[str, list[dict[str, Any]]]


class NotDelivered(Exception):
    """Records didn't arrive. `stretches` are those they came from, which must be read again.

    `transient` says whether an outage is the cause (try again) or the cluster refuses them (halt).
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

    def send_batch(self, topic: str, batch: list[dict[str, Any]]) -> None:
        """As `send`, of dicts with a "value" and a "key": no headers, faster. The list is given away."""
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

    def send_batch(self, topic: str, batch: list[dict[str, Any]]) -> None:
        if batch:
            self._waiting.append((topic, batch))

    def drop(self) -> None:
        self._waiting = []

    def taken(self) -> list[Outgoing]:
        """All of it, once."""
        waiting, self._waiting = self._waiting, []
        return waiting


@dataclass(slots=True, eq=False)
class _Sealed:
    """A batch whose records are on their way."""

    stretches: Sequence[Stretch]
    missing: int
    error: KafkaError | None = None
    report: Callable[..., None] = field(init=False)

    def __post_init__(self) -> None:
        self.report = self._settle

    def _settle(self, error: KafkaError | None, _: Record) -> None:
        self.missing -= 1
        if error is not None:
            self.error = error


class AfterDelivery(Forwarded):
    """A batch's offsets are safe once its records have arrived; meanwhile the next batches are handled.

    A crash, or a delivery that failed, sends some records again: at least once, never lost.
    """

    def __init__(self, producer: Producer, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._producer = producer
        self._clock = clock
        self._sealed: list[_Sealed] = []

    def seal(self, stretches: Sequence[Stretch]) -> None:
        outgoing = self.taken()
        sealed = _Sealed(stretches, sum(len(records) for _, records in outgoing))
        deadline = self._clock() + ROOM_TIMEOUT_S
        for topic, records in outgoing:
            produce(self._producer, topic, records, deadline, self._clock, on_delivery=sealed.report)
        self._sealed.append(sealed)

    def settled(self) -> Sequence[Stretch]:
        self._producer.poll(0)
        failed = [sealed for sealed in self._sealed if sealed.error is not None]
        if failed:
            raise self._failure(failed)
        over = [sealed for sealed in self._sealed if not sealed.missing]
        if over:
            self._sealed = [sealed for sealed in self._sealed if sealed.missing]
        return [stretch for sealed in over for stretch in sealed.stretches]

    def finish(self, timeout_s: float) -> None:
        self._producer.flush(timeout_s)

    def close(self) -> None:
        self.drop()
        self._sealed = []
        if len(self._producer):
            self._producer.purge()
            self._producer.poll(0)

    def _failure(self, failed: Sequence[_Sealed]) -> NotDelivered:
        self._sealed = [sealed for sealed in self._sealed if sealed.error is None]
        errors = [sealed.error for sealed in failed if sealed.error is not None]
        refused = [error for error in errors if classify_kafka(error) is not FailureKind.TRANSIENT]
        return NotDelivered(
            f"records were not delivered: {describe((refused or errors)[0])}",
            [stretch for sealed in failed for stretch in sealed.stretches],
            transient=not refused,
        )


def produce(
    producer: Producer,
    topic: str,
    records: list[Any],
    deadline: float,
    clock: Callable[[], float],
    *,
    on_delivery: Any = None,
) -> None:
    """Put all of these into the producer's buffer, in order, waiting for room until `deadline`.

    Raises `SendStalled` when there is none, and `KafkaException` for a record it won't take. Some may
    be in the buffer by then.
    """
    if isinstance(records[0], dict) and by_value(records):
        _produce_batch(producer, topic, records, deadline, clock, on_delivery)
        return
    for record in records:
        if isinstance(record, dict):
            record = OutgoingRecord(record["value"], record["key"])
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


def _produce_batch(
    producer: Producer,
    topic: str,
    batch: list[dict[str, Any]],
    deadline: float,
    clock: Callable[[], float],
    on_delivery: Any,
) -> None:
    while producer.produce_batch(topic, batch, on_delivery=on_delivery) < len(batch):
        again = []
        for record in batch:
            error = record.pop("_error", None)
            if error is None:
                continue
            if error.code() != KafkaError._QUEUE_FULL:
                raise KafkaException(error)
            again.append(record)
        batch = again
        _wait_for_room(producer, deadline, clock)


def _wait_for_room(producer: Producer, deadline: float, clock: Callable[[], float]) -> bool:
    if clock() >= deadline:
        raise SendStalled(f"{len(producer)} records wait to be sent onward, and there is no room for more")
    producer.poll(0.05)
    return True


def reason(error: KafkaException) -> str:
    """One line of a client's exception."""
    cause = kafka_error(error)
    return describe(cause) if cause is not None else str(error)
