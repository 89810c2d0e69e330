"""Writes dead letters and knows of each whether it is safe: acknowledged, parked, or neither."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from confluent_kafka import KafkaError, KafkaException

from gdsconsole.kafka.clients import Producer, Record
from gdsconsole.kafka.dead_letters.envelope import (
    DeadLetterContext,
    DecodedDeadLetter,
    EncodedDeadLetter,
    decode_parts,
    encode,
)
from gdsconsole.kafka.errors import (
    DeadLettersNotWritten,
    FailureKind,
    classify_kafka,
    describe,
    is_judged_by_batch,
    kafka_error,
)
from gdsconsole.kafka.producing.room import produce_with_room

# A leader that is being elected answers the same producer a little later; another begins anew.
RENEW_EVERY = 3


@dataclass(frozen=True, slots=True)
class RefusedDeadLetter:
    """A dead letter no broker will take: too large for its topic, or a time the broker refuses."""

    letter: DecodedDeadLetter
    dlq_topic: str
    reason: str


class Park(Protocol):
    """Keeps refused dead letters in the database."""

    def __call__(self, refused: Sequence[RefusedDeadLetter]) -> None:
        """Returns once they are stored; storing one twice is one row. Raises if it can't."""


@dataclass(frozen=True, slots=True)
class FlushResult:
    """What a flush made safe."""

    written: int
    parked: int


class _Pending:
    """One dead letter on its way. `error` is why the last try failed; `in_flight` that none has ended."""

    __slots__ = ("acknowledged", "encoded", "error", "in_flight", "topic")

    def __init__(self, encoded: EncodedDeadLetter, topic: str) -> None:
        self.encoded = encoded
        self.topic = topic
        self.in_flight = False
        self.acknowledged = False
        self.error: KafkaError | None = None


class DeadLetterWriter:
    """Produces dead letters; `flush()` ends with every one of them safe, or raises.

    The producer is the writer's own, and is used on the thread that calls. `topic_for` gives the dead
    letter topic of a source topic. `renew` makes another producer, for when dead letters weren't
    acknowledged: one that knew a topic before it was deleted and made again ignores the new one's leaders.
    """

    def __init__(
        self,
        producer: Producer,
        *,
        topic_for: Callable[[str], str],
        park: Park,
        renew: Callable[[], Producer] | None = None,
        timeout_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._producer = producer
        self._topic_for = topic_for
        self._park = park
        self._renew = renew
        self._discards = 0
        self._timeout_s = timeout_s
        self._clock = clock
        self._pending: list[_Pending] = []

    @property
    def pending(self) -> int:
        """Dead letters added and not yet known to be safe."""
        return len(self._pending)

    def add(self, record: Record, context: DeadLetterContext) -> None:
        """Start writing one; doesn't wait for it, except for room in the producer's queue."""
        entry = _Pending(encode(record, context), self._topic_for(record.topic() or ""))
        self._pending.append(entry)
        self._send(entry, self._clock() + self._timeout_s)

    def flush(self, *, timeout_s: float | None = None) -> FlushResult:
        """Wait until every dead letter is acknowledged or parked.

        Raises `DeadLettersNotWritten` after `timeout_s`, or when the cluster refuses; what isn't safe
        stays pending, and `flush` may be called again. Whatever the park raises, passes.
        """
        if not self._pending:
            return FlushResult(0, 0)
        deadline = self._clock() + (self._timeout_s if timeout_s is None else timeout_s)
        for entry in self._unsettled():
            if not entry.in_flight and not _is_judged_by_batch(entry):
                self._send(entry, deadline)
        self._producer.flush(max(0.0, deadline - self._clock()))
        refused = [entry for entry in self._unsettled() if self._is_refused(entry, deadline)]
        if refused:
            self._park([_refusal(entry) for entry in refused])
        parked = set(map(id, refused))
        written = sum(entry.acknowledged for entry in self._pending)
        self._discards = 0 if written else self._discards
        self._pending = [entry for entry in self._unsettled() if id(entry) not in parked]
        if self._pending:
            raise self._failure()
        return FlushResult(written, len(refused))

    def discard(self) -> None:
        """Forget what isn't safe: its records will be read again. Some may still reach the topic."""
        if self._pending:
            self._producer.purge()
            self._producer.poll(0)
            self._pending = []
            self._discards += 1
            if self._renew is not None and self._discards % RENEW_EVERY == 0:
                self._producer = self._renew()

    def _unsettled(self) -> list[_Pending]:
        return [entry for entry in self._pending if not entry.acknowledged]

    def _is_refused(self, entry: _Pending, deadline: float) -> bool:
        """Whether the broker refuses this very record; sends it alone to find out."""
        if entry.in_flight or not _is_judged_by_batch(entry):
            return False
        self._send(entry, deadline)
        self._producer.flush(max(0.0, deadline - self._clock()))
        return not entry.in_flight and _is_judged_by_batch(entry)

    def _send(self, entry: _Pending, deadline: float) -> None:
        encoded = entry.encoded

        def produce() -> None:
            # No timestamp: the original's is in the headers, and retention counts from the failure.
            self._producer.produce(
                entry.topic,
                encoded.value,
                encoded.key,
                on_delivery=partial(_settle, entry),
                headers=encoded.headers,
            )

        try:
            has_room = produce_with_room(produce, lambda: self._drains(deadline))
        except KafkaException as error:
            entry.error = kafka_error(error) or KafkaError(KafkaError._FAIL, str(error))
            return
        if not has_room:
            entry.error = KafkaError(KafkaError._QUEUE_FULL)
            return
        entry.in_flight, entry.error = True, None
        self._producer.poll(0)

    def _drains(self, deadline: float) -> bool:
        self._producer.poll(0.1)
        return self._clock() < deadline

    def _failure(self) -> DeadLettersNotWritten:
        errors = [entry.error for entry in self._pending if entry.error is not None]
        permanent = [error for error in errors if classify_kafka(error) is not FailureKind.TRANSIENT]
        topics = ", ".join(sorted({entry.topic for entry in self._pending}))
        reason = describe((permanent or errors)[0]) if errors else "no acknowledgement in time"
        return DeadLettersNotWritten(len(self._pending), f"{topics}: {reason}", transient=not permanent)


def _is_judged_by_batch(entry: _Pending) -> bool:
    return entry.error is not None and is_judged_by_batch(entry.error)


def _settle(entry: _Pending, error: KafkaError | None, _: Record) -> None:
    entry.in_flight = False
    entry.error = error
    entry.acknowledged = error is None


def _refusal(entry: _Pending) -> RefusedDeadLetter:
    reason = describe(entry.error) if entry.error is not None else "refused"
    letter = decode_parts(entry.encoded.key, entry.encoded.value, entry.encoded.headers)
    return RefusedDeadLetter(letter, dlq_topic=entry.topic, reason=reason)
