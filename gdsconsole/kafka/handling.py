"""What happens to a batch: decode, bury, apply, and the consequences of each failure.

The order is the promise. Dead letters are acknowledged before the step runs, because the step's
transaction moves the stored progress past them: after a crash between the two, a dead letter is
written twice, which its index counts once. The other way round it would be lost.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from gdsconsole.kafka.assignment import Assignment, Held, Phase
from gdsconsole.kafka.batching import BatchPolicy, offset_of, place_of, stretches
from gdsconsole.kafka.clients import Record
from gdsconsole.kafka.dead_letter_writer import DeadLetterWriter
from gdsconsole.kafka.dead_letters import DeadLetterContext, Stage, is_for_another
from gdsconsole.kafka.decoding import Decoded, Decoder, Undecodable
from gdsconsole.kafka.errors import DeadLettersNotWritten, FailureKind
from gdsconsole.kafka.failures import (
    BreakerPolicy,
    Failure,
    RetryPolicy,
    is_exhausted,
    next_failure,
    reason_of,
)
from gdsconsole.kafka.offsets import OffsetTracker, Place, Stretch
from gdsconsole.kafka.onward import Onward
from gdsconsole.kafka.status import Counters
from gdsconsole.kafka.steps import Batch, PartitionId, Step

log = logging.getLogger(__name__)

# How long records that are kept apart may keep the loop from polling.
CAREFUL_S = 0.5
DEAD_LETTER_TIMEOUT_S = 5.0
POSTPONED_S = 1.0

Stretches = Mapping[Place, tuple[int, int]]


class Halt(Exception):
    """The pipeline must stop until a person resumes it; the message says why."""


@dataclass(frozen=True, slots=True)
class Policies:
    batch: BatchPolicy = field(default_factory=BatchPolicy)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)


@dataclass(slots=True)
class BatchHandler:
    """Handles batches for one copy. Every method may raise `Halt`, and no other failure of a record."""

    group: str
    decoder: Decoder
    step: Step[Any]
    dead_letters: DeadLetterWriter | None
    assignment: Assignment
    offsets: OffsetTracker
    counters: Counters
    policies: Policies
    classify: Callable[[BaseException], FailureKind]
    clock: Callable[[], float]
    jitter: Callable[[], float]
    onward: Onward | None = None

    def handle(self, records: list[Record]) -> None:
        """Hand on what is wanted, in one batch; what failed before is kept apart from the rest."""
        found = stretches(records, one_topic=self.assignment.one_topic)
        apart: dict[Place, Held] = {}
        plain = True
        for place, (first, _) in found.items():
            held = self.assignment.get(place)
            if held is None or held.phase is not Phase.RUNNING or first < held.position:
                plain = False
            elif held.failure is not None or held.suspect_until > first:
                apart[place] = held
        if plain and not apart:
            self._together(records, found)
            return
        wanted = [record for record in records if self._is_wanted(record)]
        rest = [record for record in wanted if place_of(record) not in apart]
        if rest:
            self._together(rest, stretches(rest, one_topic=None))
        deadline = time.perf_counter() + CAREFUL_S
        for turn, (place, held) in enumerate(apart.items()):
            own = [record for record in wanted if place_of(record) == place]
            if own and turn and time.perf_counter() > deadline:
                # What fails one of them fails all, a lock's wait after the other: poll in between.
                self.assignment.rewind(held, offset_of(own[0]))
            elif own and held.suspect_until > offset_of(own[0]):
                self._one_by_one(held, own)
            elif own:
                self._together(own, stretches(own, one_topic=None))

    def _is_wanted(self, record: Record) -> bool:
        held = self.assignment.get(place_of(record))
        return held is not None and held.phase is Phase.RUNNING and offset_of(record) >= held.position

    def _together(self, records: list[Record], found: Stretches) -> None:
        decoded = self._decode(records)
        parts = [(self._held(place), first, reached) for place, (first, reached) in found.items()]
        taken = [self.offsets.take(held.place, reached) for held, _, reached in parts]
        moves = {_id(held): (held.stored, reached) for held, _, reached in parts}
        try:
            self._bury(decoded.bad)
            stored = self._apply(Batch(decoded.records, decoded.values, moves), taken)
        except Exception as error:
            kind = self._kind(error)
            if kind is FailureKind.TRANSIENT:
                for held, first, _ in parts:
                    self._retry_later(held, self._next_failure(held, first, error, kind))
            elif kind is FailureKind.FENCED:
                self._reload([held for held, _, _ in parts], error)
            else:
                log.info("%s looks for the record that fails: %s", self.group, reason_of(error))
                for held, _, reached in parts:
                    held.suspect_until = reached
                    self._one_by_one(held, [one for one in records if place_of(one) == held.place])
            return
        self.counters.batches += 1
        self.counters.processed += len(decoded.records)
        for held, _, reached in parts:
            self._done(held, reached, stored)
        self._watch(found, decoded.bad)

    def _one_by_one(self, held: Held, records: Sequence[Record]) -> None:
        """A partition's records each in a batch of its own, so that the culprit's neighbours pass."""
        self.offsets.rewind(held.place)
        deadline = time.perf_counter() + CAREFUL_S
        for position, record in enumerate(records):
            if position and time.perf_counter() > deadline:
                self.assignment.rewind(held, offset_of(record))
                return
            if not self._alone(held, record):
                return

    def _alone(self, held: Held, record: Record) -> bool:
        """Whether the record is done: applied, or dead-lettered."""
        offset, reached = offset_of(record), offset_of(record) + 1
        decoded = self._decode([record])
        taken = [self.offsets.take(held.place, reached)]
        moves = {_id(held): (held.stored, reached)}
        try:
            self._bury(decoded.bad)
            stored = self._apply(Batch(decoded.records, decoded.values, moves), taken)
        except Exception as error:
            kind = self._kind(error)
            failure = None
            if kind is FailureKind.FENCED:
                self._reload([held], error)
                return False
            if kind is not FailureKind.POISON:
                failure = self._next_failure(held, offset, error, kind)
                if not is_exhausted(failure, self.policies.retry):
                    self._retry_later(held, failure)
                    return False
            return self._abandon(held, record, error, failure, moves, taken)
        self.counters.batches += 1
        self.counters.processed += len(decoded.records)
        self._done(held, reached, stored)
        self._watch({held.place: (offset, reached)}, decoded.bad)
        return True

    def _abandon(
        self,
        held: Held,
        record: Record,
        error: Exception,
        failure: Failure | None,
        moves: Mapping[PartitionId, tuple[int, int]],
        taken: Sequence[Stretch],
    ) -> bool:
        """Dead-letter a record that the step won't take, and move past it; whether that was done."""
        offset, reached = offset_of(record), offset_of(record) + 1
        bad = [Undecodable(record, error)]
        try:
            self._bury(bad, failure, stage="step")
            stored = self._apply(Batch((), (), moves), taken)
        except Exception as again:
            kind = self._kind(again)
            if kind is FailureKind.FENCED:
                self._reload([held], again)
            elif kind is FailureKind.TRANSIENT and failure is not None:
                # It has had its tries; what is left is to write it down.
                self._retry_later(held, replace(failure, next_try_at=self.clock() + POSTPONED_S))
            elif kind is FailureKind.TRANSIENT:
                self._retry_later(held, self._next_failure(held, offset, again, kind))
            else:
                raise Halt(f"can't move past {held.name}@{offset}: {reason_of(again)}") from again
            return False
        self._done(held, reached, stored)
        self._watch({held.place: (offset, reached)}, bad)
        return True

    def _decode(self, records: list[Record]) -> Decoded:
        """What is this group's to apply; a replay that is for another group is passed over."""
        if any(map(type(records[0]).headers, records)):
            records = [record for record in records if not is_for_another(record, self.group)]
        return self.decoder(records) if records else Decoded((), ())

    def _bury(
        self, bad: Sequence[Undecodable], failure: Failure | None = None, *, stage: Stage = "decode"
    ) -> None:
        """Dead-letter these and wait until each is safe; raises if one isn't.

        A batch that is tried again doesn't bury its dead twice.
        """
        waiting = [one for one in bad if offset_of(one.record) not in self._held_of(one).buried]
        if not waiting:
            return
        if self.dead_letters is None:
            first = waiting[0]
            raise Halt(
                f"{self._held_of(first).name}@{offset_of(first.record)} can't be processed, and {self.group} "
                f"has no dead letter topic: {reason_of(first.error)}"
            ) from first.error
        now = datetime.fromtimestamp(self.clock(), UTC)
        for one in waiting:
            context = DeadLetterContext(
                group=self.group,
                error=reason_of(one.error),
                error_type=type(one.error).__name__,
                attempt=failure.attempt if failure else 1,
                failed_at=now,
                first_failed_at=datetime.fromtimestamp(failure.first_failed_at, UTC) if failure else None,
                topic_id=_id(self._held_of(one)).topic_id,
                stage=stage,
            )
            self.dead_letters.add(one.record, context)
        try:
            flushed = self.dead_letters.flush(timeout_s=DEAD_LETTER_TIMEOUT_S)
        except Exception:
            # The records come again, and are dead-lettered again; the index counts them once.
            self.dead_letters.discard()
            raise
        for one in waiting:
            self._held_of(one).buried.add(offset_of(one.record))
        self.counters.dead_letters += len(waiting)
        self.counters.parked += flushed.parked

    def _apply(self, batch: Batch[Any], taken: Sequence[Stretch]) -> bool:
        """Have the step handle the batch; its stretches are done, or will be when what it sent arrives."""
        if self.onward is None:
            stored = self.step.handle(batch)
            for stretch in taken:
                self.offsets.done(stretch)
            return stored
        try:
            stored = self.step.handle(batch)
        except BaseException:
            self.onward.drop()
            raise
        self.onward.seal(taken)
        return stored

    def _done(self, held: Held, reached: int, stored: bool) -> None:
        if stored:
            held.stored = reached
        self.assignment.passed(held, reached)

    def _watch(self, found: Stretches, bad: Sequence[Undecodable]) -> None:
        """Let each partition's breaker see what passed."""
        now = self.clock()
        dead: dict[Place, int] = {}
        for one in bad:
            place = place_of(one.record)
            dead[place] = dead.get(place, 0) + 1
        for place, (first, reached) in found.items():
            # Gaps in a compacted partition count as good records: close enough for a ratio.
            verdict = self._held(place).breaker.observe(
                records=reached - first, dead_letters=dead.get(place, 0), now=now
            )
            if verdict is not None:
                last = f"; the last one: {reason_of(bad[-1].error)}" if bad else ""
                raise Halt(f"{self._held(place).name}: {verdict}{last}")

    def _next_failure(self, held: Held, offset: int, error: BaseException, kind: FailureKind) -> Failure:
        return next_failure(
            held.failure,
            partition=_id(held),
            offset=offset,
            error=error,
            kind=kind,
            policy=self.policies.retry,
            now=self.clock(),
            jitter=self.jitter(),
        )

    def _retry_later(self, held: Held, failure: Failure) -> None:
        self.counters.retries += 1
        log.warning(
            "%s waits %.1f s at %s@%d after attempt %d: %s: %s",
            self.group,
            failure.next_try_at - self.clock(),
            held.name,
            failure.offset,
            failure.attempt,
            failure.error_type,
            failure.error,
        )
        self.assignment.back_off(held, failure)

    def _reload(self, partitions: Sequence[Held], error: BaseException) -> None:
        self.counters.fenced += 1
        log.warning("%s drops a batch: %s", self.group, error)
        self.assignment.place_again(partitions, "")

    def _kind(self, error: Exception) -> FailureKind:
        """The kind of a failure; raises `Halt` for what no retry and no dead letter can mend."""
        if isinstance(error, Halt):
            raise error
        if isinstance(error, DeadLettersNotWritten) and not error.transient:
            raise Halt(str(error)) from error
        return self.classify(error)

    def _held(self, place: Place) -> Held:
        held = self.assignment.get(place)
        if held is None:
            raise LookupError(f"{place[0]}-{place[1]} isn't assigned")
        return held

    def _held_of(self, one: Undecodable) -> Held:
        return self._held(place_of(one.record))


def _id(held: Held) -> PartitionId:
    if held.id is None:
        raise LookupError(f"{held.name} isn't placed")
    return held.id
