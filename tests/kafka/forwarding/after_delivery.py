"""A way to send records on that no pipeline of the console uses: at least once, without transactions.

Tests hold the transactions' promise against it, and `bench/forwarding.py` measures what those cost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from confluent_kafka import KafkaError

from gdsconsole.kafka.clients import Producer, Record
from gdsconsole.kafka.errors import FailureKind, classify_kafka, describe
from gdsconsole.kafka.forwarding.delivery import ROOM_TIMEOUT_S, Forwarded, NotDelivered, produce
from gdsconsole.kafka.offsets.safe_offsets import Stretch


@dataclass(slots=True, eq=False)
class _Sealed:
    """A batch whose records are on their way."""

    stretches: Sequence[Stretch]
    missing: int
    error: KafkaError | None = None
    report: Callable[[KafkaError | None, Record], None] = field(init=False)

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
