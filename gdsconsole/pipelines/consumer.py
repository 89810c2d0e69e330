"""One consumer of a pipeline, from its lease to its release: what a Celery task and `pipelines run` share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Protocol

from gdsconsole.kafka.consuming.retries import reason_of
from gdsconsole.kafka.errors import FencedError, MemberNotReleased, TransientError
from gdsconsole.kafka.status import ConsumerSnapshot, ConsumerState
from gdsconsole.pipelines import leases, services
from gdsconsole.pipelines.leases import Desired, Heartbeat, Lease
from gdsconsole.pipelines.models import PipelineConsumer
from gdsconsole.pipelines.storage import storage

log = logging.getLogger(__name__)

STATS_EVERY_S = 1.0


class Running(Protocol):
    """The runtime as this loop uses it."""

    halted: str | None

    def subscribe(self, topics: Sequence[str]) -> None: ...
    def run_once(self) -> int: ...
    def retry_now(self) -> None: ...
    def snapshot(self) -> ConsumerSnapshot: ...
    def close(self, *, commit: bool) -> None: ...


class Publish(Protocol):
    def __call__(self, event_type: str, key: str, data: dict[str, Any], /) -> None: ...


class Outcome(Enum):
    """Why a consumer ended."""

    DRAINED = "drained"
    UNWANTED = "not wanted any more"
    HALTED = "halted"
    REPLACED = "replaced by another holder"
    NOT_YET = "not let into its group yet"
    FAILED = "failed"


@dataclass(slots=True)
class ConsumerLoop:
    """Runs one leased consumer. Every `step()` is a batch, preceded by the lease where it is due.

    `topics` is asked again with each renewal. `stop` says why to drain, or nothing.
    """

    lease: Lease
    group: str
    pipeline: Running
    topics: Callable[[], Sequence[str]]
    stop: Callable[[], str]
    publish: Publish
    clock: Callable[[], datetime]
    ended: Outcome | None = None
    why: str = ""
    _renewed_at: datetime | None = None
    _stats_at: datetime | None = None
    _told: tuple[ConsumerState, list[str]] | None = None
    _storage_down: str = ""
    _reads: list[str] = field(default_factory=list)

    def run(self) -> Outcome:
        """Run until something ends it; then commit, where that is still ours to do, close and release."""
        try:
            while self.ended is None:
                self.step()
        except FencedError as error:
            self.ended, self.why = Outcome.REPLACED, reason_of(error)
        except MemberNotReleased as error:
            self.ended, self.why = Outcome.NOT_YET, reason_of(error)
        except Exception as error:
            self.ended, self.why = Outcome.FAILED, f"{type(error).__name__}: {reason_of(error)}"
            log.exception("%s/%d failed", self.lease.name, self.lease.slot)
        finally:
            in_order = self.ended in {Outcome.DRAINED, Outcome.UNWANTED, Outcome.HALTED}
            try:
                self.pipeline.close(commit=in_order)
            finally:
                self._settle()
        return self.ended

    def step(self) -> None:
        """One turn: look at the lease and the signals, then one batch."""
        now = self.clock()
        reason = self.stop()
        if reason:
            self.ended, self.why = Outcome.DRAINED, reason
            return
        if self._renewed_at is None or now - self._renewed_at >= leases.RENEW_EVERY:
            self._renew(now)
            if self.ended is not None:
                return
        self.pipeline.run_once()
        if self.pipeline.halted is not None:
            self.ended, self.why = Outcome.HALTED, self.pipeline.halted
        self._publish_stats(self.clock())

    def _renew(self, now: datetime) -> None:
        """A renewal that fails is tried again with the next turn; what is written meanwhile is fenced."""
        try:
            with storage():
                desired = leases.renew(lease=self.lease, heartbeat=self._heartbeat(), now=now)
                topics = self.topics()
                self._reads = sorted(topics)
        except TransientError as error:
            if not self._storage_down:
                log.warning("%s/%d can't renew its lease: %s", self.lease.name, self.lease.slot, error)
            self._storage_down = str(error)
            return
        if self._storage_down:
            log.warning("%s/%d: the database is back", self.lease.name, self.lease.slot)
            self._storage_down = ""
            self.pipeline.retry_now()
        self._renewed_at = now
        self._obey(desired)
        if self.ended is None:
            self.pipeline.subscribe(topics)

    def _obey(self, desired: Desired | None) -> None:
        if desired is None:
            self.ended, self.why = Outcome.REPLACED, "the lease has another holder"
        elif not desired.is_wanted:
            self.ended, self.why = Outcome.UNWANTED, desired.reason

    def _settle(self) -> None:
        """Store why it halted, and free the slot, if the database lets us: else the lease runs out."""
        now = self.clock()
        try:
            with storage():
                if self.ended is Outcome.HALTED:
                    services.halt(name=self.lease.name, reason=self.why, now=now)
                leases.release(lease=self.lease, now=now, reason=self.why)
        except TransientError as error:
            log.warning("%s/%d isn't released: %s", self.lease.name, self.lease.slot, error)
        state = (
            PipelineConsumer.State.HALTED if self.ended is Outcome.HALTED else PipelineConsumer.State.STOPPED
        )
        self._publish(state, self.why, None, now)

    def _heartbeat(self) -> Heartbeat:
        snapshot = self.pipeline.snapshot()
        self._told = _told_of(snapshot)
        return Heartbeat(
            state=PipelineConsumer.State(snapshot.state.value),
            reason=snapshot.reason,
            partitions=list(snapshot.partitions),
            counters={
                **snapshot.counters,
                "rate_in": snapshot.rate_in,
                "rate_out": snapshot.rate_out,
                "batch_ms": _ms(snapshot.batch_s),
                "last_commit_at": snapshot.last_commit_at,
                "waiting": dict(snapshot.waiting),
                "reads": self._reads,
            },
        )

    def _publish_stats(self, now: datetime) -> None:
        if self._stats_at is not None and (now - self._stats_at).total_seconds() < STATS_EVERY_S:
            return
        self._stats_at = now
        snapshot = self.pipeline.snapshot()
        if _told_of(snapshot) != self._told:
            # Who holds what is in its row at once, not with a renewal that may be seconds off.
            self._renewed_at = None
        state, reason = PipelineConsumer.State(snapshot.state.value), snapshot.reason
        if self._storage_down and snapshot.state is ConsumerState.RUNNING:
            # A lease that can't be renewed means a database that can't be written.
            state, reason = PipelineConsumer.State.RETRYING, f"waits for the database: {self._storage_down}"
        self._publish(state, reason, snapshot, now)

    def _publish(
        self, state: PipelineConsumer.State, reason: str, snapshot: ConsumerSnapshot | None, now: datetime
    ) -> None:
        counters = snapshot.counters if snapshot else {}
        self.publish(
            "pipeline.stats",
            f"{self.lease.name}/{self.lease.slot}",
            {
                "name": self.lease.name,
                "slot": self.lease.slot,
                "group": self.group,
                "state": state.value,
                "reason": reason,
                "partitions": list(snapshot.partitions) if snapshot else [],
                "waiting": dict(snapshot.waiting) if snapshot else {},
                "rate_in": snapshot.rate_in if snapshot else None,
                "rate_out": snapshot.rate_out if snapshot else None,
                "batch_ms": _ms(snapshot.batch_s) if snapshot else None,
                "last_commit_at": snapshot.last_commit_at if snapshot else None,
                **{name: counters.get(name) for name in _COUNTED},
                "at": now.timestamp(),
            },
        )


_COUNTED = ("processed", "dead_letters", "parked", "retries", "rebalances", "lost", "commit_failures")


def _told_of(snapshot: ConsumerSnapshot) -> tuple[ConsumerState, list[str]]:
    return snapshot.state, list(snapshot.partitions)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
