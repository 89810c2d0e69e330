"""What happens to a batch: decode, bury, apply, and the consequences of each failure.

The order is the promise. Dead letters are acknowledged before the step runs, because the step's
transaction moves the stored progress past them: after a crash between the two, a dead letter is
written twice, which its index counts once. The other way round it would be lost.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gdsconsole.kafka.clients import Record
from gdsconsole.kafka.consuming.assigned_partition import AssignedPartition, Phase
from gdsconsole.kafka.consuming.assignment import Assignment
from gdsconsole.kafka.consuming.batching import offset_of, partition_of, stretches
from gdsconsole.kafka.consuming.dead_lettering import DeadLettering
from gdsconsole.kafka.consuming.decoding import DecodedBatch, Undecodable
from gdsconsole.kafka.consuming.equipment import Timing, Work
from gdsconsole.kafka.consuming.halting import Halting
from gdsconsole.kafka.consuming.halts import MustHalt
from gdsconsole.kafka.consuming.retries import (
    Failure,
    HandledCounts,
    is_exhausted,
    next_failure,
    reason_of,
)
from gdsconsole.kafka.dead_letters.envelope import is_for_another
from gdsconsole.kafka.errors import DeadLettersNotWritten, FailureKind
from gdsconsole.kafka.forwarding.delivery import Forwarding
from gdsconsole.kafka.offsets.safe_offsets import OffsetTracker, Stretch
from gdsconsole.kafka.partitions import TopicIdPartition, TopicPartition
from gdsconsole.kafka.status import Counters
from gdsconsole.kafka.step import Batch

log = logging.getLogger(__name__)

# How long records that are kept apart may keep the loop from polling.
CAREFUL_S = 0.5
POSTPONED_S = 1.0
# Between so many dead letters the breakers look at what passed, so that a large batch of poison is not all
# dead-lettered before they do.
DEAD_AT_ONCE = 100

Stretches = Mapping[TopicPartition, tuple[int, int]]


@dataclass(slots=True)
class BatchHandler:
    """Handles batches for one consumer. No method raises a failure of a record."""

    group: str
    work: Work
    timing: Timing
    onward: Forwarding | None
    burials: DeadLettering
    halting: Halting
    assignment: Assignment
    offsets: OffsetTracker
    counters: Counters

    def handle(self, records: list[Record]) -> None:
        """Hand on what is wanted, in one batch; what failed before is kept apart from the rest."""
        found = stretches(records, one_topic=self.assignment.one_topic)
        apart: dict[TopicPartition, AssignedPartition] = {}
        plain = True
        for tp, (first, _) in found.items():
            held = self.assignment.get(tp)
            if held is None or not held.takes(first) or held.stop_at is not None:
                plain = False
            elif held.failure is not None or held.suspect_until > first:
                apart[tp] = held
        if plain and not apart:
            self._together(records, found)
            return
        wanted = [record for record in records if self._is_wanted(record)]
        rest = [record for record in wanted if partition_of(record) not in apart]
        if rest:
            self._together(rest, stretches(rest, one_topic=None))
        deadline = time.perf_counter() + CAREFUL_S
        for turn, (tp, held) in enumerate(apart.items()):
            own = [record for record in wanted if partition_of(record) == tp]
            if own and turn and time.perf_counter() > deadline:
                # What fails one of them fails all, a lock's wait after the other: poll in between.
                self.assignment.rewind(held, offset_of(own[0]))
            elif own and held.suspect_until > offset_of(own[0]):
                self._one_by_one(held, own)
            elif own:
                self._together(own, stretches(own, one_topic=None))
        self._stop_again(found, wanted)

    def skip(self, held: AssignedPartition, to: int) -> None:
        """Move a halted partition past records that nobody is to process; raises as a step does."""
        taken = [self.offsets.take(held.tp, to)]
        stored = self._apply(Batch((), (), {_id(held): (held.stored, to)}), taken)
        self._done(held, to, stored)

    def _stop_again(self, found: Stretches, wanted: Sequence[Record]) -> None:
        """Halt what has come to its halt again, though no record is left that stands right before it."""
        for tp, (_, reached) in found.items():
            held = self.assignment.get(tp)
            if held is None or held.stop_at is None or held.phase is not Phase.RUNNING:
                continue
            own = [offset_of(record) for record in wanted if partition_of(record) == tp]
            if reached > held.stop_at and (not own or held.position > own[-1]):
                self.offsets.skip(tp, held.stop_at)
                self.assignment.passed(held, held.stop_at)

    def _is_wanted(self, record: Record) -> bool:
        held = self.assignment.get(partition_of(record))
        return held is not None and held.takes(offset_of(record))

    def _together(self, records: list[Record], found: Stretches) -> None:
        decoded = self._decode(records)
        if len(decoded.bad) > DEAD_AT_ONCE:
            self._in_pieces(records, decoded.bad)
            return
        parts = [(self._held(tp), first, reached) for tp, (first, reached) in found.items()]
        taken = [self.offsets.take(held.tp, reached) for held, _, reached in parts]
        moves = {_id(held): (held.stored, reached) for held, _, reached in parts}
        try:
            self.burials.bury(decoded.bad)
            stored = self._apply(Batch(decoded.records, decoded.values, moves), taken)
        except Exception as error:
            kind = None if _must_halt(error) else self.work.classify(error)
            if kind is FailureKind.TRANSIENT:
                for held, first, _ in parts:
                    self._retry_later(held, self._next_failure(held, first, error, kind))
            elif kind is FailureKind.FENCED:
                self._reload([held for held, _, _ in parts], error)
            else:  # One by one, the culprit is found, and nothing but its partition halts.
                log.info("%s looks for the record that fails: %s", self.group, reason_of(error))
                for held, _, reached in parts:
                    held.suspect_until = reached
                    self._one_by_one(held, [one for one in records if partition_of(one) == held.tp])
            return
        self.counters.batches += 1
        self.counters.processed += len(decoded.records)
        for held, _, reached in parts:
            self._done(held, reached, stored)
        self._watch(records, found, decoded.bad)

    def _in_pieces(self, records: list[Record], bad: Sequence[Undecodable]) -> None:
        """A batch that is mostly poison, in parts, of which the breakers may stop every one."""
        dead = {id(one.record) for one in bad}
        reached: dict[TopicPartition, int] = {}
        piece: list[Record] = []
        count = 0
        for position, record in enumerate(records):
            piece.append(record)
            count += id(record) in dead
            if count < DEAD_AT_ONCE and position < len(records) - 1:
                continue
            # A partition that isn't where the last piece left it is read again from where it stands.
            own = [one for one in piece if self._is_wanted(one) and self._goes_on(one, reached)]
            if own:
                found = stretches(own, one_topic=None)
                self._together(own, found)
                reached |= {tp: end for tp, (_, end) in found.items()}
            piece, count = [], 0

    def _goes_on(self, record: Record, reached: Mapping[TopicPartition, int]) -> bool:
        """Whether its partition is where the last piece left it, or was in none yet."""
        tp = partition_of(record)
        return tp not in reached or reached[tp] == self._held(tp).position

    def _one_by_one(self, held: AssignedPartition, records: Sequence[Record]) -> None:
        """A partition's records each in a batch of its own, so that the culprit's neighbours pass."""
        self.offsets.rewind(held.tp)
        deadline = time.perf_counter() + CAREFUL_S
        for position, record in enumerate(records):
            if position and time.perf_counter() > deadline:
                self.assignment.rewind(held, offset_of(record))
                return
            if not self._alone(held, record) or held.phase is not Phase.RUNNING:
                return

    def _alone(self, held: AssignedPartition, record: Record) -> bool:
        """Whether the record is done: applied, or dead-lettered."""
        offset, reached = offset_of(record), offset_of(record) + 1
        decoded = self._decode([record])
        taken = [self.offsets.take(held.tp, reached)]
        moves = {_id(held): (held.stored, reached)}
        try:
            self.burials.bury(decoded.bad)
            stored = self._apply(Batch(decoded.records, decoded.values, moves), taken)
        except Exception as error:
            if _must_halt(error):
                self._halt(held, offset, error)
                return False
            kind = self.work.classify(error)
            failure = None
            if kind is FailureKind.FENCED:
                self._reload([held], error)
                return False
            if kind is not FailureKind.POISON:
                failure = self._next_failure(held, offset, error, kind)
                if not is_exhausted(failure, self.work.policies.retry):
                    self._retry_later(held, failure)
                    return False
            return self._abandon(held, record, error, failure, moves, taken)
        self.counters.batches += 1
        self.counters.processed += len(decoded.records)
        self._done(held, reached, stored)
        self._watch([record], {held.tp: (offset, reached)}, decoded.bad)
        return True

    def _abandon(
        self,
        held: AssignedPartition,
        record: Record,
        error: Exception,
        failure: Failure | None,
        moves: Mapping[TopicIdPartition, tuple[int, int]],
        taken: Sequence[Stretch],
    ) -> bool:
        """Dead-letter a record that the step won't take, and move past it; whether that was done."""
        offset, reached = offset_of(record), offset_of(record) + 1
        bad = [Undecodable(record, error)]
        try:
            self.burials.bury(bad, failure, stage="step")
            stored = self._apply(Batch((), (), moves), taken)
        except Exception as again:
            kind = None if _must_halt(again) else self.work.classify(again)
            if kind is FailureKind.FENCED:
                self._reload([held], again)
            elif kind is FailureKind.TRANSIENT and failure is not None:
                # It has had its tries; what is left is to write it down.
                self._retry_later(held, replace(failure, next_try_at=self.timing.clock() + POSTPONED_S))
            elif kind is FailureKind.TRANSIENT:
                self._retry_later(held, self._next_failure(held, offset, again, kind))
            else:
                self._halt(held, offset, again)
            return False
        self._done(held, reached, stored)
        self._watch([record], {held.tp: (offset, reached)}, bad)
        return True

    def _decode(self, records: list[Record]) -> DecodedBatch:
        """What is this group's to apply; a replay that is for another group is passed over."""
        if any(map(type(records[0]).headers, records)):
            records = [record for record in records if not is_for_another(record, self.group)]
        return self.work.decoder(records) if records else DecodedBatch((), ())

    def _apply(self, batch: Batch[Any], taken: Sequence[Stretch]) -> bool:
        """Have the step handle the batch; its stretches are done, or will be when what it sent arrives."""
        if self.onward is None:
            stored = self.work.step.handle(batch)
            for stretch in taken:
                self.offsets.done(stretch)
            return stored
        try:
            stored = self.work.step.handle(batch)
        except BaseException:
            self.onward.drop()
            raise
        self.onward.seal(taken)
        return stored

    def _done(self, held: AssignedPartition, reached: int, stored: bool) -> None:
        if stored:
            held.stored = reached
        self.assignment.passed(held, reached)

    def _watch(self, records: Sequence[Record], found: Stretches, bad: Sequence[Undecodable]) -> None:
        """Let the breakers see what passed."""
        passed, together = _passed(records, found, bad)
        self.halting.watch(passed, together, reason_of(bad[-1].error) if bad else "")

    def _halt(self, held: AssignedPartition, offset: int, error: Exception) -> None:
        self.assignment.rewind(held, offset)
        reason = reason_of(error)
        told = isinstance(error, (MustHalt, DeadLettersNotWritten))
        self.halting.halt(held, reason if told else f"can't move past {held.name}@{offset}: {reason}")

    def _next_failure(
        self, held: AssignedPartition, offset: int, error: BaseException, kind: FailureKind
    ) -> Failure:
        return next_failure(
            held.failure,
            partition=_id(held),
            offset=offset,
            error=error,
            kind=kind,
            policy=self.work.policies.retry,
            now=self.timing.clock(),
            jitter=self.timing.jitter(),
        )

    def _retry_later(self, held: AssignedPartition, failure: Failure) -> None:
        self.counters.retries += 1
        log.warning(
            "%s waits %.1f s at %s@%d after attempt %d: %s: %s",
            self.group,
            failure.next_try_at - self.timing.clock(),
            held.name,
            failure.offset,
            failure.attempt,
            failure.error_type,
            failure.error,
        )
        self.assignment.back_off(held, failure)

    def _reload(self, partitions: Sequence[AssignedPartition], error: BaseException) -> None:
        self.counters.fenced += 1
        log.warning("%s drops a batch: %s", self.group, error)
        self.assignment.place_again(partitions, "")

    def _held(self, tp: TopicPartition) -> AssignedPartition:
        held = self.assignment.get(tp)
        if held is None:
            raise LookupError(f"{tp} isn't assigned")
        return held


def _id(held: AssignedPartition) -> TopicIdPartition:
    if held.id is None:
        raise LookupError(f"{held.name} isn't placed")
    return held.id


def _must_halt(error: Exception) -> bool:
    """Whether neither a retry nor a dead letter can mend it."""
    return isinstance(error, MustHalt) or (isinstance(error, DeadLettersNotWritten) and not error.transient)


def _passed(
    records: Sequence[Record], found: Stretches, bad: Sequence[Undecodable]
) -> tuple[Mapping[TopicPartition, HandledCounts], HandledCounts]:
    """What became of the records of each partition, and of all together."""
    if not bad:
        # Gaps in a compacted partition count as good records: close enough, where all are.
        widths = {tp: HandledCounts(reached - first) for tp, (first, reached) in found.items()}
        return widths, HandledCounts(len(records))
    dead = {id(one.record) for one in bad}
    by_partition: dict[TopicPartition, list[bool]] = {tp: [] for tp in found}
    for record in records:
        by_partition[partition_of(record)].append(id(record) in dead)
    together = [id(record) in dead for record in records]
    return {tp: _counted(each) for tp, each in by_partition.items()}, _counted(together)


def _counted(dead: Sequence[bool]) -> HandledCounts:
    at_end = next((turn for turn, one in enumerate(reversed(dead)) if not one), len(dead))
    return HandledCounts(len(dead), sum(dead), at_end)
