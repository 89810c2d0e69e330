"""The partitions a consumer holds, and where each of them stands.

A partition that is assigned is PLACING, paused, until three things are known: which topic it is of for
good, how far the group committed, and how far its effects are stored. Any of the three services may be
down at that moment, and a rebalance can't wait for them, so placing is retried from the loop.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException
from confluent_kafka import TopicPartition as ClientPartition

from gdsconsole.kafka.clients import Source
from gdsconsole.kafka.consuming.assigned_partition import AssignedPartition, Phase, stop_of
from gdsconsole.kafka.consuming.equipment import Stores, Work
from gdsconsole.kafka.consuming.halts import Decision, PartitionHalt
from gdsconsole.kafka.consuming.rebalance import RebalanceListener
from gdsconsole.kafka.consuming.retries import Breaker, Failure, reason_of
from gdsconsole.kafka.consuming.topic_watch import Identify, TopicWatch
from gdsconsole.kafka.errors import FailureKind, TransientError, kafka_error
from gdsconsole.kafka.offsets.safe_offsets import OffsetTracker
from gdsconsole.kafka.offsets.start_offsets import MADE_AGAIN, Commit, StartOffset, label, labelled, start_of
from gdsconsole.kafka.partitions import TopicIdPartition, TopicPartition

log = logging.getLogger(__name__)

OFFSETS_TIMEOUT_S = 2.0
PLACE_AGAIN_S = 1.0
SAVE_AGAIN_S = 5.0


class Assignment:
    """Answers rebalances, places partitions, and pauses those that back off.

    `listener` hears of it. `watch` hears which topics the client begins with.
    """

    def __init__(
        self,
        *,
        source: Source,
        identify: Identify,
        work: Work,
        stores: Stores,
        offsets: OffsetTracker,
        listener: RebalanceListener,
        watch: TopicWatch,
        clock: Callable[[], float],
    ) -> None:
        self._source = source
        self._identify = identify
        self._work = work
        self._stores = stores
        self._offsets = offsets
        self._listener = listener
        self._watch = watch
        self._clock = clock
        self._held: dict[TopicPartition, AssignedPartition] = {}
        self._one_topic: str | None = None
        self._save_from = 0.0
        self.rebalances = 0

    def use(self, source: Source) -> None:
        """Nothing is held any more, and what comes is another client's."""
        self._source = source
        self._offsets.forget(self._held)
        self._held.clear()

    def __len__(self) -> int:
        return len(self._held)

    @property
    def partitions(self) -> list[AssignedPartition]:
        """In the order of topics and numbers."""
        return [self._held[tp] for tp in sorted(self._held)]

    @property
    def one_topic(self) -> str | None:
        """The topic, if all partitions are of one."""
        return self._one_topic

    @property
    def known(self) -> bool:
        """Whether the group has ever said what is ours."""
        return self.rebalances > 0

    def get(self, tp: TopicPartition) -> AssignedPartition | None:
        return self._held.get(tp)

    # Rebalance callbacks. They run inside consume() and close(), and must not raise.

    def on_assign(self, _: Any, partitions: list[ClientPartition]) -> None:
        self.rebalances += 1
        # Offset 0 asks the broker nothing; the partition is paused before its first fetch and placed
        # by a seek, and what slips through belongs to a partition that isn't RUNNING.
        added = [ClientPartition(part.topic, part.partition, 0) for part in partitions]
        self._source.incremental_assign(added)
        if added:
            self._source.pause(added)
        for part in added:
            tp = TopicPartition(part.topic, part.partition)
            self._held[tp] = AssignedPartition(tp, Breaker(self._work.policies.breaker))
        self._changed("assigned", added)

    def on_revoke(self, _: Any, partitions: list[ClientPartition]) -> None:
        self._listener.before_revocation(_tps(partitions))
        self._give_up("revoked", partitions)

    def on_lost(self, _: Any, partitions: list[ClientPartition]) -> None:
        """They were given to another consumer already: nothing of them is committed."""
        self._listener.lost("partitions were lost")
        self._give_up("lost", partitions)

    def _give_up(self, how: str, partitions: list[ClientPartition]) -> None:
        self.rebalances += 1
        tps = _tps(partitions)
        gone = [self._held.pop(tp, None) for tp in tps]
        self._offsets.forget(tps)
        self._listener.forget(tps)
        try:
            self._work.step.revoked([held.id for held in gone if held is not None and held.id is not None])
        except Exception:
            log.exception("the step failed to let go of partitions")
        self._source.incremental_unassign(partitions)
        self._changed(how, partitions)

    def _changed(self, how: str, partitions: list[ClientPartition]) -> None:
        topics = {tp[0] for tp in self._held}
        self._one_topic = topics.pop() if len(topics) == 1 else None
        if partitions:
            names = ", ".join(f"{part.topic}-{part.partition}" for part in partitions)
            log.info("%s %s; holds %d", how, names, len(self._held))

    # Called from the loop.

    def wake(self, now: float) -> None:
        """Place what is to be placed and resume what has waited long enough."""
        due = [
            held for held in self._held.values() if held.phase is not Phase.RUNNING and held.wake_at <= now
        ]
        if not due:
            return
        resumed = [held for held in due if held.phase is Phase.BACKOFF]
        if resumed:
            self._resume(resumed)
        placed = [held for held in due if held.phase is Phase.PLACING]
        if placed:
            self._place(placed, now)

    def wake_all(self) -> None:
        """Don't wait any longer for what backs off from an outage: there is a sign that it is over."""
        for held in self._held.values():
            if held.failure is not None and held.failure.kind is FailureKind.TRANSIENT:
                held.wake_at = 0.0

    def back_off(self, held: AssignedPartition, failure: Failure) -> None:
        """Pause the partition at the failed record until its next try; polling goes on meanwhile."""
        held.failure = failure
        held.phase = Phase.BACKOFF
        held.wake_at = failure.next_try_at
        held.reason = f"{failure.error_type}: {failure.error}"
        part = ClientPartition(*held.tp)
        self._source.pause([part])
        self.rewind(held, failure.offset)
        self._remember(failure)

    def rewind(self, held: AssignedPartition, offset: int) -> None:
        """Read the partition from `offset` again."""
        self._offsets.rewind(held.tp)
        held.position = offset
        held.rewound = True
        self._seek(held)

    def place_again(
        self, partitions: Iterable[AssignedPartition], reason: str, *, after_s: float = 0.0
    ) -> None:
        """Drop what is buffered of these and start where the stored progress is by then."""
        chosen = list(partitions)
        if chosen:
            self._source.pause([ClientPartition(*held.tp) for held in chosen])
            self._listener.forget([held.tp for held in chosen])
        for held in chosen:
            self._offsets.rewind(held.tp)
            held.phase = Phase.PLACING
            held.rewound = True
            held.wake_at = self._clock() + after_s
            held.reason = reason

    def stand(self, held: AssignedPartition) -> None:
        """Halt the partition at its position; polling goes on for the others."""
        if held.failure is not None:
            self._forget(held)
        held.phase, held.wake_at = Phase.HALTED, math.inf
        held.stop_at = None
        held.rewound = True
        held.reason = held.halt.reason if held.halt is not None else ""
        self._source.pause([ClientPartition(*held.tp)])
        self._seek(held)

    def go_on(self, held: AssignedPartition) -> None:
        """Read a halted partition again, from its position."""
        held.breaker.reset()
        self._seek(held)
        if held.phase is Phase.HALTED:
            self._resume([held])

    def start_over(self, held: AssignedPartition, end: int) -> None:
        """The log ends at `end`, before what was read of it: truncated, or another topic by now."""
        try:
            part = self._identified([held])[held.tp]
            stored = self._work.step.assigned([part]).get(part, 0)
            from_the_start = part != held.id or stored == 0
            held.id, held.stored = part, stored
            held.position = 0 if from_the_start else end
            held.buried.clear()
            held.rewound = True
            self._offsets.start(
                held.tp,
                None if from_the_start else end,
                committed=None,
                label=label(part.topic_id),
            )
            self._go_to(held, OFFSET_BEGINNING if from_the_start else end)
        except Exception as error:
            self.place_again([held], f"{type(error).__name__}: {reason_of(error)}", after_s=PLACE_AGAIN_S)

    def passed(self, held: AssignedPartition, next_offset: int) -> None:
        """Records below `next_offset` are done; a failure among them is over."""
        held.position = next_offset
        if held.buried:
            held.buried = {offset for offset in held.buried if offset >= next_offset}
        if held.failure is not None and held.failure.offset < next_offset:
            self._forget(held)
        if held.stop_at is not None and next_offset >= held.stop_at:
            self.stand(held)

    def _resume(self, partitions: list[AssignedPartition]) -> None:
        for held in partitions:
            held.phase = Phase.RUNNING
            held.reason = ""
        self._source.resume([ClientPartition(*held.tp) for held in partitions])

    def _place(self, partitions: list[AssignedPartition], now: float) -> None:
        try:
            self._find(partitions, now)
        except Exception as error:
            if self._work.classify(error) is FailureKind.UNKNOWN:
                # No record is to blame, and giving up would leave the partition unread.
                log.exception("can't place %s", ", ".join(held.name for held in partitions))
            for held in partitions:
                if held.phase is Phase.PLACING:
                    held.wake_at = now + PLACE_AGAIN_S
                    held.reason = f"{type(error).__name__}: {reason_of(error)}"

    def _find(self, partitions: list[AssignedPartition], now: float) -> None:
        ids = self._identified(partitions)
        self._listener.prepare()
        answers = self._source.committed(
            [ClientPartition(*held.tp) for held in partitions], timeout=OFFSETS_TIMEOUT_S
        )
        commits: dict[TopicPartition, Commit | None] = {}
        for answer in answers:
            if answer.error is not None:
                raise KafkaException(answer.error)
            commit = Commit(answer.offset, labelled(answer.metadata)) if answer.offset >= 0 else None
            commits[TopicPartition(answer.topic, answer.partition)] = commit
        stored = self._work.step.assigned(list(ids.values()))
        failures = self._stores.failures.load(list(ids.values()))
        halts = self._stores.halts.load(list(ids.values()))
        starts = {part: start_of(part, commits[tp], stored) for tp, part in ids.items()}
        try:
            self._listener.placed({part: (start.committed, start.stored) for part, start in starts.items()})
            for held in partitions:
                part = ids[held.tp]
                self._recall(held, part, halts.get(part))
                self._start(held, part, starts[part], failures.get(part), now)
        except BaseException:
            self._listener.lost("partitions were not placed")
            raise

    def _recall(self, held: AssignedPartition, part: TopicIdPartition, stored: PartitionHalt | None) -> None:
        """What its last owner left, or this one could not store yet."""
        if held.halt is None or held.halt_is_stored or held.halt.partition != part:
            held.halt, held.halt_is_stored = stored, stored is not None
        held.armed = held.halt is None or held.halt.decision is not Decision.DEAD_LETTER

    def _identified(self, partitions: Iterable[AssignedPartition]) -> dict[TopicPartition, TopicIdPartition]:
        """Which partitions these are for good; raises where the client knows a topic as another."""
        tps = [held.tp for held in partitions]
        identities = self._identify({tp.topic for tp in tps})
        changed = [topic for topic, (_, id_) in identities.items() if not self._watch.begins_with(topic, id_)]
        if changed:
            raise TransientError(f"{', '.join(sorted(changed))}: {MADE_AGAIN}")
        return {tp: TopicIdPartition(*tp, identities[tp.topic][1], identities[tp.topic][0]) for tp in tps}

    def _start(
        self,
        held: AssignedPartition,
        part: TopicIdPartition,
        start: StartOffset,
        failure: Failure | None,
        now: float,
    ) -> None:
        held.id, held.stored = part, start.stored
        # Only a group that never got anywhere here starts at the log's start. The client's own reset
        # is an error, so that a start that retention has deleted is a loss with a number.
        held.position = self._log_start(held) if start.offset is None else start.offset
        # What is committed of an earlier topic is in the way, and this topic's own is due at once.
        safe = held.position if start.is_made_again else start.offset
        self._offsets.start(held.tp, safe, committed=start.committed, label=label(part.topic_id))
        if start.is_made_again:
            self._listener.made_again(part.topic)
        self._go_to(held, held.position)
        held.failure, held.suspect_until = failure, 0
        if failure is not None and failure.offset < held.position:
            self._forget(held)
        elif failure is not None and failure.kind is FailureKind.UNKNOWN:
            held.suspect_until = failure.offset + 1
        held.stop_at = stop_of(held)
        if held.stop_at == held.position:
            self.stand(held)
        elif held.failure is not None and held.failure.next_try_at > now:
            held.phase, held.wake_at = Phase.BACKOFF, held.failure.next_try_at
            held.reason = f"{held.failure.error_type}: {held.failure.error}"
        else:
            self._resume([held])

    def _log_start(self, held: AssignedPartition) -> int:
        # A seek to the beginning has the client ask for it; the resume that follows voids the answer,
        # and the partition waits a second for the client to ask again.
        return self._source.get_watermark_offsets(
            ClientPartition(*held.tp), timeout=OFFSETS_TIMEOUT_S, cached=False
        )[0]

    def _seek(self, held: AssignedPartition) -> None:
        """Have the client read from the partition's position, by placing it again where it won't."""
        try:
            self._go_to(held, held.position)
        except KafkaException as error:
            # Where the client reads is unknown now, and records beyond the position would be taken for
            # the next ones. Placing seeks again, until it works.
            self.place_again([held], reason_of(error))

    def _go_to(self, held: AssignedPartition, offset: int) -> None:
        """Have the client read from `offset`, whatever it did before; raises KafkaException."""
        part = ClientPartition(*held.tp, offset)
        try:
            self._source.seek(part)
        except KafkaException as error:
            cause = kafka_error(error)
            if cause is None or cause.code() != KafkaError._STATE:
                raise
            # After an offset that was out of range the client fetches nothing of the partition, and
            # refuses to seek in it. Assigned anew, it starts again; and an assignment ends a pause.
            self._source.incremental_unassign([part])
            self._source.incremental_assign([part])
            if held.phase is not Phase.RUNNING:
                self._source.pause([part])

    def _remember(self, failure: Failure) -> None:
        # Kept for the next owner's sake. If it can't be, this owner still knows; and it doesn't wait for a
        # store that is away once for each partition.
        if self._clock() < self._save_from:
            return
        try:
            self._stores.failures.save(failure)
        except Exception as error:
            self._save_from = self._clock() + SAVE_AGAIN_S
            log.warning("a failure of %s isn't stored: %s", failure.partition.topic, reason_of(error))

    def _forget(self, held: AssignedPartition) -> None:
        held.failure = None
        if held.id is None:
            return
        try:
            self._stores.failures.clear(held.id)
        except Exception as error:
            log.warning("an old failure of %s isn't removed: %s", held.name, reason_of(error))


def _tps(partitions: Iterable[ClientPartition]) -> list[TopicPartition]:
    return [TopicPartition(part.topic, part.partition) for part in partitions]
