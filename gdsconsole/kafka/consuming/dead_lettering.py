"""Dead-letters what a batch can't have processed, and knows of each record that its letter is safe."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from gdsconsole.kafka.consuming.assigned_partition import AssignedPartition
from gdsconsole.kafka.consuming.assignment import Assignment
from gdsconsole.kafka.consuming.batching import offset_of, partition_of
from gdsconsole.kafka.consuming.decoding import Undecodable
from gdsconsole.kafka.consuming.halts import MustHalt
from gdsconsole.kafka.consuming.retries import Failure, reason_of
from gdsconsole.kafka.dead_letters.claims import ClaimStore, RecordClaim
from gdsconsole.kafka.dead_letters.envelope import DeadLetterContext, Stage
from gdsconsole.kafka.dead_letters.writer import DeadLetterWriter
from gdsconsole.kafka.errors import TransientError
from gdsconsole.kafka.partitions import TopicIdPartition
from gdsconsole.kafka.status import Counters

DEAD_LETTER_TIMEOUT_S = 5.0
# How long another group's letters are waited for without polling; an acknowledgement takes milliseconds.
OTHERS_S = 0.5
LOOK_S = 0.02


@dataclass(slots=True)
class DeadLettering:
    """For one consumer. `writer` is None for a pipeline whose decoder takes everything."""

    group: str
    writer: DeadLetterWriter | None
    assignment: Assignment
    counters: Counters
    clock: Callable[[], float]
    claims: ClaimStore | None = None
    # Acknowledged, and not marked so yet: the database was away.
    _unmarked: set[RecordClaim] = field(default_factory=set)

    def bury(
        self, bad: Sequence[Undecodable], failure: Failure | None = None, *, stage: Stage = "decode"
    ) -> None:
        """Dead-letter these and wait until each is safe; raises if one isn't.

        A batch that is tried again doesn't bury its dead twice. What no group can decode is written by one
        group for all: whoever comes second waits until it is acknowledged, or takes it over.
        """
        self._mark()
        waiting = [one for one in bad if offset_of(one.record) not in self._held(one).buried]
        if not waiting:
            return
        if self.writer is None:
            first = waiting[0]
            raise MustHalt(
                f"{self._held(first).name}@{offset_of(first.record)} can't be processed, and {self.group} "
                f"has no dead letter topic: {reason_of(first.error)}"
            ) from first.error
        if self.claims is None or stage != "decode":
            self._write(self.writer, waiting, failure, stage)
            self._done(waiting)
        else:
            self._share(self.writer, self.claims, waiting)

    def _share(self, writer: DeadLetterWriter, claims: ClaimStore, waiting: Sequence[Undecodable]) -> None:
        left = {RecordClaim(self._id(one), offset_of(one.record)): one for one in waiting}
        deadline = time.monotonic() + OTHERS_S
        while True:
            claimed = claims.claim(left)
            if claimed.mine:
                mine = [one for claim, one in left.items() if claim in claimed.mine]
                self._write(writer, mine, None, "decode")
                self._done(mine)
                self._unmarked |= claimed.mine
                self._mark()
            self._done([one for claim, one in left.items() if claim in claimed.safe])
            left = {
                claim: one
                for claim, one in left.items()
                if claim not in claimed.mine and claim not in claimed.safe
            }
            if not left:
                return
            if time.monotonic() >= deadline:
                raise TransientError(
                    f"{len(left)} dead letters are another group's to write, and aren't safe yet"
                )
            time.sleep(LOOK_S)

    def _mark(self) -> None:
        if self._unmarked and self.claims is not None:
            self.claims.settle(self._unmarked)
            self._unmarked = set()

    def _done(self, buried: Sequence[Undecodable]) -> None:
        for one in buried:
            self._held(one).buried.add(offset_of(one.record))
        self.counters.dead_letters += len(buried)

    def _write(
        self, writer: DeadLetterWriter, waiting: Sequence[Undecodable], failure: Failure | None, stage: Stage
    ) -> None:
        now = datetime.fromtimestamp(self.clock(), UTC)
        for one in waiting:
            context = DeadLetterContext(
                group=self.group,
                error=reason_of(one.error),
                error_type=type(one.error).__name__,
                attempt=failure.attempt if failure else 1,
                failed_at=now,
                first_failed_at=datetime.fromtimestamp(failure.first_failed_at, UTC) if failure else None,
                topic_id=self._id(one).topic_id,
                stage=stage,
            )
            writer.add(one.record, context)
        try:
            flushed = writer.flush(timeout_s=DEAD_LETTER_TIMEOUT_S)
        except Exception:
            # The records come again, and are dead-lettered again; the index counts them once.
            writer.discard()
            raise
        self.counters.parked += flushed.parked

    def _held(self, one: Undecodable) -> AssignedPartition:
        tp = partition_of(one.record)
        held = self.assignment.get(tp)
        if held is None:
            raise LookupError(f"{tp} isn't assigned")
        return held

    def _id(self, one: Undecodable) -> TopicIdPartition:
        held = self._held(one)
        if held.id is None:
            raise LookupError(f"{held.name} isn't placed")
        return held.id
