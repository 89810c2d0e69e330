"""Halts partitions, one by one, and carries out what people decide of them.

A halted partition is paused: the consumer polls on, and its other partitions are processed. The halt is a
row, so it moves with its partition and outlives every process; the decision is written into that row by
whoever makes it, and read from there once a second while anything is halted. Each decision is carried out
before its row is removed, and finds nothing left to do where it was carried out before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from gdsconsole.kafka.consuming.assigned_partition import AssignedPartition, Phase
from gdsconsole.kafka.consuming.assignment import Assignment
from gdsconsole.kafka.consuming.halts import Decision, HaltStore, PartitionHalt
from gdsconsole.kafka.consuming.retries import Breaker, BreakerPolicy, HandledCounts, judge, reason_of
from gdsconsole.kafka.offsets.safe_offsets import OffsetTracker
from gdsconsole.kafka.partitions import TopicPartition

log = logging.getLogger(__name__)

CHECK_S = 1.0


class Halting:
    """For one consumer. `skip` moves a partition's stored progress; it may raise as a step does."""

    def __init__(
        self,
        *,
        group: str,
        assignment: Assignment,
        offsets: OffsetTracker,
        store: HaltStore,
        policy: BreakerPolicy,
        skip: Callable[[AssignedPartition, int], None],
        clock: Callable[[], float],
    ) -> None:
        self._group = group
        self._assignment = assignment
        self._offsets = offsets
        self._store = store
        self._breaker = Breaker(policy)
        self._skip = skip
        self._clock = clock
        self._next_at = 0.0
        self._is_away = False

    def watch(
        self, passed: Mapping[TopicPartition, HandledCounts], together: HandledCounts, last: str
    ) -> None:
        """Let the breakers see what passed, and halt what must stop; `last` is the last failure's reason.

        Of a partition whose failures were declared to be expected they see nothing, until it is good again.
        """
        armed = {}
        for tp, one in passed.items():
            held = self._assignment.get(tp)
            if held is None:
                continue
            if not held.armed and one.dead < one.records:
                log.info("%s: %s is good again", self._group, held.name)
                held.armed = True
                held.breaker.reset()
                self._guarded(lambda held=held: self._clear(held))  # type: ignore[misc]
            elif held.armed:
                armed[tp] = one
        if not armed:
            return
        if len(armed) < len(passed):
            together = HandledCounts(
                records=sum(one.records for one in armed.values()),
                dead=sum(one.dead for one in armed.values()),
                dead_at_end=min(one.dead_at_end for one in armed.values()),
            )
        stopped = judge(
            consumer=self._breaker,
            partitions={one.tp: one.breaker for one in self._assignment.partitions if one.armed},
            passed=armed,
            together=together,
            now=self._clock(),
        )
        for tp, reason in stopped.items():
            held = self._assignment.get(tp)
            if held is not None and held.phase is not Phase.HALTED:
                self.halt(held, f"{reason}; the last one: {last}" if last else reason)

    def halt(self, held: AssignedPartition, reason: str) -> None:
        """Let the partition stand at its position until somebody decides."""
        if held.id is None:
            raise LookupError(f"{held.name} isn't placed")
        log.error("%s halts %s at %d: %s", self._group, held.name, held.position, reason)
        held.halt = PartitionHalt(held.id, held.position, reason, self._clock())
        held.halt_is_stored = False
        held.breaker.reset()
        if held.phase is not Phase.PLACING:
            self._assignment.stand(held)
        self._guarded(lambda: self._save(held))

    def turn(self) -> None:
        """Store what isn't stored yet, and carry out what was decided; once a second."""
        now = self._clock()
        if now < self._next_at:
            return
        self._next_at = now + CHECK_S
        concerned = [held for held in self._assignment.partitions if held.halt is not None and held.id]
        if concerned:
            self._guarded(lambda: self._settle(concerned))

    def save_all(self) -> None:
        """Partitions are about to be given up: their next owner has to find these halts."""
        for held in self._assignment.partitions:
            if held.halt is not None and not held.halt_is_stored:
                self._guarded(lambda held=held: self._save(held))  # type: ignore[misc]

    def _guarded(self, act: Callable[[], None]) -> None:
        """Do what is done again with the next turn where it fails."""
        try:
            act()
        except Exception as error:
            if not self._is_away:
                log.warning("%s: halts wait: %s", self._group, reason_of(error))
            self._is_away = True
        else:
            self._is_away = False

    def _save(self, held: AssignedPartition) -> None:
        if held.halt is not None:
            self._store.save(held.halt)
            held.halt_is_stored = True

    def _settle(self, concerned: list[AssignedPartition]) -> None:
        for held in concerned:
            if not held.halt_is_stored:
                self._save(held)
        found = self._store.load([held.id for held in concerned if held.id is not None])
        for held in concerned:
            stored = found.get(held.id) if held.id is not None else None
            if stored is None:
                # Nobody but its consumer removes a halt that stands: it is stored again.
                held.halt_is_stored = False
            else:
                held.halt = stored
                self._carry_out(held, stored)

    def _carry_out(self, held: AssignedPartition, halt: PartitionHalt) -> None:
        stands = held.phase is Phase.HALTED
        if halt.decision is Decision.RESUME:
            self._clear(held)
            held.armed, held.stop_at = True, None
            if stands:
                self._assignment.go_on(held)
        elif halt.decision is Decision.DEAD_LETTER:
            if stands:
                held.armed = False
                self._assignment.go_on(held)
            elif held.armed and held.phase is Phase.RUNNING:
                self._clear(held)
        elif halt.decision is Decision.SKIP and halt.skip_to is not None:
            if stands:
                self._skip_to(held, halt.skip_to)
            elif self._is_past(held, halt.skip_to):
                self._clear(held)
        elif held.phase is Phase.RUNNING and held.stop_at is None and self._is_past(held, halt.offset + 1):
            # The group's offsets were set beyond it: that was somebody's decision too.
            self._clear(held)

    def _skip_to(self, held: AssignedPartition, offset: int) -> None:
        if held.position < offset:
            log.warning("%s skips %s from %d to %d", self._group, held.name, held.position, offset)
            self._skip(held, offset)
        self._assignment.go_on(held)

    def _is_past(self, held: AssignedPartition, offset: int) -> bool:
        """Whether a restart would begin there or beyond, too."""
        committed = self._offsets.committed(held.tp)
        return max(held.stored, committed if committed is not None else 0) >= offset

    def _clear(self, held: AssignedPartition) -> None:
        if held.id is not None:
            self._store.clear(held.id)
        held.halt, held.halt_is_stored = None, False
