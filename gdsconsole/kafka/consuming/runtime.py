"""The pipeline runtime: one consumer of a group, on one thread.

`run_once` polls, hands the batch on (`batch_handler.py`), and commits what is safe. Everything that can
take long, or fail, is retried from here: polling never stops for it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from confluent_kafka import KafkaError

from gdsconsole.kafka.clients import ClientHooks, Record
from gdsconsole.kafka.consuming.assigned_partition import Phase
from gdsconsole.kafka.consuming.assignment import Assignment
from gdsconsole.kafka.consuming.batch_handler import BatchHandler
from gdsconsole.kafka.consuming.batching import Collector, next_limit
from gdsconsole.kafka.consuming.dead_lettering import DeadLettering
from gdsconsole.kafka.consuming.equipment import Stores, Timing, Transport, Work
from gdsconsole.kafka.consuming.halting import Halting
from gdsconsole.kafka.consuming.partition_events import PartitionEvents
from gdsconsole.kafka.consuming.rebalance import Starts
from gdsconsole.kafka.consuming.retries import reason_of
from gdsconsole.kafka.consuming.static_member import leave
from gdsconsole.kafka.consuming.topic_watch import TopicWatch, ids_alone
from gdsconsole.kafka.errors import FailureKind, classify_kafka, describe, ended_by, is_fatal
from gdsconsole.kafka.forwarding.delivery import Forwarding, NotDelivered
from gdsconsole.kafka.forwarding.transactional import committer
from gdsconsole.kafka.offsets.commits import AFTER_REFUSAL_S
from gdsconsole.kafka.offsets.safe_offsets import OffsetTracker
from gdsconsole.kafka.offsets.start_offsets import MADE_AGAIN
from gdsconsole.kafka.partitions import TopicPartition
from gdsconsole.kafka.status import (
    NEWS_S,
    RATED_OVER_S,
    TROUBLE_S,
    ConsumerSnapshot,
    Counters,
    Meter,
    Notice,
    state_of,
)

log = logging.getLogger(__name__)

TICK_S = 1.0
CLOSE_TIMEOUT_S = 10.0
REVOKE_TIMEOUT_S = 5.0
# Longer than a heartbeat's interval: by then a member that was evicted knows it.
AFTER_EVICTION_S = 5.0


class ConsumerRuntime:
    """One consumer. `run_once` is a batch; `close` gives the partitions up, or leaves them to a restart."""

    def __init__(
        self, group: str, *, transport: Transport, work: Work, stores: Stores, timing: Timing | None = None
    ) -> None:
        timing = timing or Timing()
        policies = work.policies
        self.group = group
        self._work, self._clock = work, timing.clock
        self._open_source, self._dead_letters = transport.open_source, transport.dead_letters
        self._onward = transport.onward
        self._topics: list[str] = []
        self._limit = policies.batch.maximum
        self._is_given = self._draining = False
        self._fatal: KafkaError | None = None
        self._ticked_at = 0.0

        # For its snapshot.
        self.counters = Counters()
        self.halted: str | None = None
        self._trouble, self._news = Notice(TROUBLE_S), Notice(NEWS_S)
        self._batch_s: float | None = None
        window_s = max(RATED_OVER_S, 2 * policies.batch.longest_s)
        self._meter_in, self._meter_out = Meter(window_s), Meter(window_s)

        # Each is given those above it; the commits hear from the client, and the rest asks it.
        self._offsets = OffsetTracker()
        self._watch = TopicWatch(transport.topic_ids or ids_alone(transport.identify), timing.clock)
        self._commits = committer(transport.onward, self._offsets, self.counters, timing.clock)
        self._hooks = ClientHooks(on_error=self._on_error, on_commit=self._commits.on_commit)
        self._source = transport.open_source(self._hooks)
        self._commits.use(self._source)
        self._collector = Collector(self._source, policies.batch, idle_s=timing.idle_s, clock=timing.clock)
        self._assignment = Assignment(
            source=self._source,
            identify=transport.identify,
            work=work,
            stores=stores,
            offsets=self._offsets,
            listener=self,
            watch=self._watch,
            clock=timing.clock,
        )
        self._events = PartitionEvents(
            group=group, assignment=self._assignment, offsets=self._offsets, counters=self.counters
        )
        self._halting = Halting(
            group=group,
            assignment=self._assignment,
            offsets=self._offsets,
            store=stores.halts,
            policy=policies.consumer_breaker,
            skip=lambda held, to: self._handler.skip(held, to),
            clock=timing.clock,
        )
        burials = DeadLettering(
            group, transport.dead_letters, self._assignment, self.counters, timing.clock, stores.claims
        )
        self._handler = BatchHandler(
            group=group,
            work=work,
            timing=timing,
            onward=transport.onward,
            burials=burials,
            halting=self._halting,
            assignment=self._assignment,
            offsets=self._offsets,
            counters=self.counters,
        )

    def subscribe(self, topics: Sequence[str]) -> None:
        """Read these topics from now on. To be called again now and then, which costs nothing."""
        wanted = sorted(set(topics))
        self._watch.ask(wanted)
        if wanted == self._topics:
            if not self._has_others():
                return
            self._source.unsubscribe()
        self._topics = wanted
        log.info("%s reads %s", self.group, ", ".join(wanted) or "no topic")
        if wanted:
            self._subscribe()
        else:
            self._source.unsubscribe()

    def _subscribe(self) -> None:
        ours = self._assignment
        self._source.subscribe(
            self._topics, on_assign=ours.on_assign, on_revoke=ours.on_revoke, on_lost=ours.on_lost
        )

    def _has_others(self) -> bool:
        """Whether the first assignment is of other topics than were asked for; said once.

        A static member that starts again within its session is given what it had, and no rebalance comes
        of it: a topic that is new since then would never be read. It has to join anew.
        """
        if self._is_given or not self._assignment.known:
            return False
        self._is_given = True
        return {held.tp[0] for held in self._assignment.partitions} != set(self._topics)

    def run(self, stop: Callable[[], bool]) -> None:
        """Run until `stop()` or a halt, then commit and close; an error closes without a commit."""
        in_order = False
        try:
            while not stop() and self.halted is None:
                self.run_once()
            in_order = True
        finally:
            self.close(commit=in_order)

    def run_once(self) -> int:
        """One batch, or one wait for it; returns how many records and events were handled.

        Raises `FencedError` when another member took this consumer's place in the group, `MemberNotReleased`
        when one has it still, and `KafkaException` when the client can't go on. Nothing may be committed
        after any of them.
        """
        self._assignment.wake(self._clock())
        self._halting.turn()
        records = self._collector.collect(self._limit)
        refusal = self._commits.refusal()
        if refusal is not None and is_fatal(refusal.error):
            self._fatal = refusal.error
        if self._fatal is not None:
            raise ended_by(self._fatal)
        if refusal is not None and refusal.rewinds:
            # Drop what is buffered, and ask again where to start: after an eviction, once the client must
            # have heard of it itself.
            evicted = classify_kafka(refusal.error) is not FailureKind.TRANSIENT
            self._assignment.place_again(
                self._assignment.partitions,
                describe(refusal.error),
                after_s=AFTER_EVICTION_S if evicted else AFTER_REFUSAL_S,
            )
        if self._watch.sees_another(self._topics, soon=bool(records)):
            self._join_anew()
            return 0
        if records:
            began = time.perf_counter()
            self._take(records)
            self._batch_s = time.perf_counter() - began
            self._limit = next_limit(
                self._work.policies.batch, limit=self._limit, taken=len(records), took_s=self._batch_s
            )
        if self._onward is not None:
            self._settle_onward(self._onward)
        self._commits.commit_due()
        self._tick()
        return len(records)

    def _join_anew(self) -> None:
        """Have a client read that knows no old topic. What was done of the old is committed as such."""
        log.warning("%s joins anew: %s: %s", self.group, ", ".join(self._watch.made_again), MADE_AGAIN)
        # What their commits have settled is marked, before the names mean the new topics.
        self._tick(at_once=True)
        leave(self._source)
        self._watch.begin_anew()
        self._source = self._open_source(self._hooks)
        self._commits.use(self._source)
        self._collector.use(self._source)
        self._assignment.use(self._source)
        self._subscribe()

    def retry_now(self) -> None:
        """There is a sign that an outage is over: don't wait any longer for what backs off from it."""
        self._assignment.wake_all()

    def close(self, *, commit: bool) -> None:
        """Commit what is safe, if asked, and close. A static member's partitions wait for its restart."""
        self._draining = True
        try:
            if commit:
                self._finish_onward(CLOSE_TIMEOUT_S)
                self._commits.finish(CLOSE_TIMEOUT_S)
            self._commits.stop()
            if self._onward is not None:
                self._onward.close()
            if self._dead_letters is not None:
                self._dead_letters.discard()
        finally:
            try:
                self._work.step.close()
            finally:
                self._source.close()

    def snapshot(self) -> ConsumerSnapshot:
        """What this consumer is doing; reads counters alone."""
        now = self._clock()
        partitions = self._assignment.partitions
        written: int | None = getattr(self._work.step, "written", None)
        self.counters.rebalances = self._assignment.rebalances
        halted = {held.name: held.reason for held in partitions if held.phase is Phase.HALTED}
        waiting = {held.name: held.reason for held in partitions if held.is_waiting}
        state, reason = state_of(
            stopped=self.halted,
            is_draining=self._draining,
            is_assigned=self._assignment.known,
            held=len(partitions),
            halted=halted,
            waiting=waiting,
            trouble=self._trouble.recent(now) or self._news.recent(now),
        )
        return ConsumerSnapshot(
            state=state,
            reason=reason,
            partitions=[held.name for held in partitions],
            waiting=waiting,
            halted=halted,
            counters=self.counters.as_dict(),
            rate_in=self._meter_in.read(self.counters.processed + self.counters.dead_letters, now),
            rate_out=None if written is None else self._meter_out.read(written, now),
            batch_s=self._batch_s,
            batch_limit=self._limit,
            last_commit_at=self._commits.last_at,
            at=now,
        )

    def _take(self, records: list[Record]) -> None:
        events: list[Record] = []
        if any(map(type(records[0]).error, records)):
            events = [record for record in records if record.error() is not None]
            records = [record for record in records if record.error() is None]
            for held in self._assignment.partitions:
                held.rewound = False
        if records:
            self._trouble.text = ""
            self._handler.handle(records)
        for event in events:
            self._on_event(event)

    # As the listener of its assignment.

    def before_revocation(self, tps: Sequence[TopicPartition]) -> None:
        self._halting.save_all()
        self._finish_onward(REVOKE_TIMEOUT_S)
        self._commits.before_revocation(tps)

    def lost(self, reason: str) -> None:
        self._commits.take_back(reason)

    def forget(self, tps: Sequence[TopicPartition]) -> None:
        self._collector.forget(tps)

    def prepare(self) -> None:
        self._commits.prepare()

    def placed(self, starts: Starts) -> None:
        """Let the step's side settle what the last owner left, and let go what it sends on for that."""
        if self._work.placed is None:
            return
        try:
            self._work.placed(starts)
        except BaseException:
            if self._onward is not None:
                self._onward.drop()
            raise
        if self._onward is not None:
            self._onward.seal(())

    def made_again(self, topic: str) -> None:
        if self._news.say(f"{topic}: {MADE_AGAIN}", self._clock()):
            log.warning("%s: %s: %s", self.group, topic, MADE_AGAIN)

    def _finish_onward(self, timeout_s: float) -> None:
        """Let what is on its way arrive, so that it needn't be sent again."""
        if self._onward is not None:
            self._onward.finish(timeout_s)
            self._settle_onward(self._onward)

    def _settle_onward(self, onward: Forwarding) -> None:
        try:
            for stretch in onward.settled():
                self._offsets.done(stretch)
        except NotDelivered as error:
            tps = {stretch.tp for stretch in error.stretches}
            held = [one for one in self._assignment.partitions if one.tp in tps]
            self._assignment.place_again(held, reason_of(error), after_s=AFTER_REFUSAL_S)
            if not error.transient:
                self.halted = reason_of(error)
                log.error("%s halts: %s", self.group, error)

    def _on_event(self, event: Record) -> None:
        error = event.error()
        if error is None:
            return
        if is_fatal(error):
            raise ended_by(error)
        if not self._events.take(event, error, self._source):
            self._on_error(error)

    def _on_error(self, error: KafkaError) -> None:
        if is_fatal(error):
            self._fatal = error
        if self._trouble.say(describe(error), self._clock()):
            # Once: a broker that is away is mentioned with every attempt to connect.
            log.warning("%s: %s", self.group, describe(error))

    def _tick(self, *, at_once: bool = False) -> None:
        now = self._clock()
        if now - self._ticked_at < TICK_S and not at_once:
            return
        self._ticked_at = now
        try:
            self._work.step.tick(datetime.fromtimestamp(now, UTC))
        except Exception as error:
            if self._work.classify(error) is FailureKind.UNKNOWN:
                log.exception("%s: the step's tick failed", self.group)
            self._trouble.say(f"{type(error).__name__}: {reason_of(error)}", now)
