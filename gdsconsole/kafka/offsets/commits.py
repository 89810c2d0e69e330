"""Commits of what is safe: without waiting while running, with a bound when partitions are given up."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import TopicPartition as ClientPartition

from gdsconsole.kafka.clients import Source
from gdsconsole.kafka.errors import FailureKind, classify_kafka, describe, kafka_error
from gdsconsole.kafka.offsets.safe_offsets import OffsetTracker
from gdsconsole.kafka.partitions import TopicPartition
from gdsconsole.kafka.status import Counters

log = logging.getLogger(__name__)

# A commit a batch costs a tenth of the throughput and tells nobody more: lag is read every 5 s.
EVERY_S = 0.1
# A coordinator that moves, or loads, needs about this long.
AFTER_REFUSAL_S = 1.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """A commit was refused. `rewinds`: nothing that was read since the last one may be built upon."""

    error: KafkaError
    rewinds: bool


class Commits(Protocol):
    """Commits what is safe. Only `commit_due`, `finish` and what a rebalance calls may block."""

    last_at: float | None  # when the last commit was acknowledged

    def use(self, source: Source) -> None:
        """The consumer to commit by; it is made after its callbacks."""
        ...

    def prepare(self) -> None:
        """Called before partitions are placed at their committed offsets. May raise `TransientError`."""
        ...

    def on_commit(self, error: KafkaError | None, partitions: list[ClientPartition]) -> None: ...

    def take_back(self, reason: str) -> None:
        """What was sent on and isn't committed must not be: partitions were lost, or not placed."""
        ...

    def refusal(self) -> Refusal | None:
        """The refusal of a commit since the last time this was asked."""
        ...

    def commit_due(self) -> None:
        """Commit what is due, a few times a second."""
        ...

    def before_revocation(self, tps: Sequence[TopicPartition]) -> None:
        """Commit what is safe of these, and wait for it: the next owner starts there."""
        ...

    def finish(self, timeout_s: float) -> bool:
        """Commit everything that is safe; whether the broker has it all within `timeout_s`."""
        ...

    def stop(self) -> None:
        """Commit nothing more, whatever is revoked from now on."""
        ...


class Committer:
    """Asks for commits and keeps the outcome of each. `on_commit` is the client's callback."""

    def __init__(self, offsets: OffsetTracker, counters: Counters, clock: Callable[[], float]) -> None:
        self.last_at: float | None = None
        self._offsets = offsets
        self._counters = counters
        self._clock = clock
        self._source: Source | None = None
        self._next_at = 0.0
        self._refusal: KafkaError | None = None

    def use(self, source: Source) -> None:
        self._source = source

    def prepare(self) -> None:
        """Nothing of ours can be open."""

    def stop(self) -> None:
        self._source = None

    def take_back(self, reason: str) -> None:
        """Nothing that was sent waits for a commit."""

    def on_commit(self, error: KafkaError | None, partitions: list[ClientPartition]) -> None:
        for part in partitions:
            refused = part.error or error
            tp = TopicPartition(part.topic, part.partition)
            if refused is None:
                self._offsets.acknowledged(tp, part.offset)
            else:
                self._offsets.refused([tp])
                self._refusal = refused
        if error is not None and not partitions:
            self._offsets.refused(self._offsets.tps)
            self._refusal = error
        if self._refusal is None:
            self.last_at = self._clock()
            self._counters.commits += 1

    def refusal(self) -> Refusal | None:
        refusal, self._refusal = self._refusal, None
        if refusal is None:
            return None
        self._counters.commit_failures += 1
        self._next_at = self._clock() + AFTER_REFUSAL_S
        log.warning("commit refused: %s", describe(refusal))
        # Most likely evicted, and still handed what was prefetched.
        return Refusal(refusal, rewinds=classify_kafka(refusal) is not FailureKind.TRANSIENT)

    def commit_due(self) -> None:
        now = self._clock()
        if now < self._next_at or self._source is None:
            return
        due = self._offsets.due()
        if due:
            self._next_at = now + EVERY_S
            self._ask(self._source, due)

    def before_revocation(self, tps: Sequence[TopicPartition]) -> None:
        safe = self._offsets.unacknowledged(tps)
        if not safe or self._source is None:
            return
        try:
            parts = as_partitions(safe, self._offsets.labels)
            self.on_commit(None, self._source.commit(offsets=parts, asynchronous=False))
        except KafkaException as error:
            # The next owner reads from the last commit, and the stored progress keeps effects single.
            cause = kafka_error(error)
            log.warning("not committed before a revocation: %s", describe(cause) if cause else error)

    def finish(self, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while self._source is not None:
            missing = self._offsets.unacknowledged(self._offsets.tps)
            if not missing:
                return True
            if time.monotonic() >= deadline:
                break
            due = self._offsets.due()
            if due:
                self._ask(self._source, due)
            # Serves the callback. Records that come are left for the next owner.
            self._source.consume(1, 0.1)
            if self._refusal is not None and classify_kafka(self._refusal) is not FailureKind.TRANSIENT:
                break
        log.warning("closing with commits unacknowledged")
        return False

    def _ask(self, source: Source, due: Mapping[TopicPartition, int]) -> None:
        try:
            source.commit(offsets=as_partitions(due, self._offsets.labels), asynchronous=True)
        except KafkaException as error:
            self._refusal = kafka_error(error) or KafkaError(KafkaError._FAIL, str(error))
        else:
            self._offsets.asked(due)


def as_partitions(
    offsets: Mapping[TopicPartition, int], labels: Mapping[TopicPartition, str] | None = None
) -> list[ClientPartition]:
    """The offsets to commit, each with the label of its partition."""
    named = labels or {}
    return [ClientPartition(*tp, offset, metadata=named.get(tp, "")) for tp, offset in offsets.items()]
