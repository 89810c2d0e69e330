"""Makes replay runs so: sends what they hold, once each, and settles their rows.

Only `Replayer.step` and `Replayer.recover` do anything; the rest is a shell around them. Killed
between any two lines, another process goes on from the rows and the ledger:

1. Rows are marked with the ledger's end before their transaction begins. An unmarked row was never sent.
2. The transaction writes the record to its topic and a line to the ledger, both or neither.
3. Rows are settled. A marked row that isn't settled is looked up in the ledger, after every earlier
   writer has been locked out, so its answer is final.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from django.conf import settings
from django.db import transaction
from django.db.models import Min, Q, QuerySet
from django.db.models.functions import Coalesce

from dlq import leases
from dlq.live_summary import publish_summary
from dlq.models import ReplayItem, ReplayItemState, ReplayRun, ReplayRunState
from dlq.outcomes import ReplayProduced, ReplayRejected, record_unwritten, record_written
from gdsconsole.database.leases import this_process
from gdsconsole.kafka.config import ClientSettings
from gdsconsole.kafka.dead_letters import replay_ledger
from gdsconsole.kafka.dead_letters.envelope import DecodedDeadLetter, ReplayMark, replay_headers
from gdsconsole.kafka.dead_letters.replay_ledger import LedgerPosition, ProducedReplay
from gdsconsole.kafka.dead_letters.replay_writer import (
    Outgoing,
    RecordRejected,
    ReplayWriter,
    new_replay_writer,
    partition_counts,
)
from gdsconsole.kafka.errors import FencedError, KafkaUnavailable

log = logging.getLogger(__name__)

CHUNK_ITEMS = 100
CHUNK_BYTES = 8 * 2**20
# Longer than one transaction may take, so a healthy holder never loses it.
LEASE_S = 45.0


class ReplayKafka(Protocol):
    """What the replayer needs of the cluster; `ClusterKafka` is the real one."""

    def take_over(self) -> LedgerPosition: ...
    def ledger(self, start: int) -> dict[str, ProducedReplay]: ...
    def partition_counts(self, topics: Collection[str]) -> dict[str, int]: ...
    def write(self, records: Sequence[Outgoing]) -> list[ProducedReplay]: ...


class ClusterKafka:
    """The cluster, with a producer made here: in the process that uses it."""

    def __init__(self, client: ClientSettings, *, transactional_id: str, ledger_topic: str) -> None:
        self._client = client
        self._transactional_id = transactional_id
        self._ledger_topic = ledger_topic
        self._writer: ReplayWriter | None = None

    def take_over(self) -> LedgerPosition:
        replay_ledger.ensure(self._client, self._ledger_topic)
        self._writer = new_replay_writer(
            self._client, transactional_id=self._transactional_id, ledger_topic=self._ledger_topic
        )
        self._writer.take_over()
        return replay_ledger.position(self._client, self._ledger_topic)

    def ledger(self, start: int) -> dict[str, ProducedReplay]:
        return replay_ledger.read(self._client, self._ledger_topic, start=start)

    def partition_counts(self, topics: Collection[str]) -> dict[str, int]:
        return partition_counts(self._client, topics)

    def write(self, records: Sequence[Outgoing]) -> list[ProducedReplay]:
        if self._writer is None:
            raise FencedError("nothing may be written before taking over")
        return self._writer.write(records)


@dataclass(frozen=True, slots=True)
class ReplayerLease:
    """The lease under which the replayer works."""

    transactional_id: str
    token: int

    def renew(self, now: datetime) -> None:
        leases.renew(transactional_id=self.transactional_id, token=self.token, now=now, ttl_s=LEASE_S)


class Replayer:
    """One incarnation: `recover()` once, then `step()` until it returns False."""

    def __init__(
        self,
        kafka: ReplayKafka,
        holding: ReplayerLease,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._kafka = kafka
        self._holding = holding
        self._clock = clock
        self._ledger: LedgerPosition | None = None
        # Items of a transaction that the brokers rejected for one of them: sent each by itself.
        self._alone: set[int] = set()

    def recover(self) -> int:
        """Take over and settle what earlier incarnations wrote; returns how many rows that were."""
        self._holding.renew(self._clock())
        self._ledger = position = self._kafka.take_over()
        self._holding.renew(self._clock())
        attempted = ReplayItem.objects.filter(state=ReplayItemState.QUEUED, ledger_offset__isnull=False)
        readable = Q(ledger_topic_id=position.topic_id, ledger_offset__gte=position.start)
        settled = 0
        if attempted.filter(readable).exists():
            first = attempted.filter(readable).aggregate(Min("ledger_offset"))["ledger_offset__min"]
            lines = self._kafka.ledger(first)
            known = [str(item.replay_id) for item in attempted if str(item.replay_id) in lines]
            settled += record_written([_written(lines[key]) for key in known], now=self._clock())
        unknown = list(attempted.exclude(readable))
        if unknown:
            settled += self._settle_unwritten(
                [ReplayRejected(item.replay_id, _lost(item)) for item in unknown]
            )
        publish_summary()
        return settled

    def step(self) -> bool:
        """Send one chunk and settle it; False when nothing waits."""
        if self._ledger is None:
            raise FencedError("nothing may be sent before taking over")
        self._holding.renew(self._clock())
        items = self._next_chunk()
        if not items:
            return False
        partitions = self._kafka.partition_counts({item.target_topic for item in items})
        missing = [item for item in items if item.target_topic not in partitions]
        if missing:
            self._settle_unwritten([ReplayRejected(item.replay_id, _missing(item)) for item in missing])
        sendable = [item for item in items if item.target_topic in partitions]
        if sendable:
            self._send(sendable, partitions, self._ledger)
        publish_summary()
        return True

    def _send(
        self, items: Sequence[ReplayItem], partitions: Mapping[str, int], ledger: LedgerPosition
    ) -> None:
        self._mark(items, ledger)
        try:
            landed = self._kafka.write([_outgoing(item, partitions[item.target_topic]) for item in items])
        except RecordRejected as rejected:
            if len(items) == 1:
                self._settle_unwritten([ReplayRejected(items[0].replay_id, rejected.reason)])
            self._alone |= {item.pk for item in items}
            self.recover()
        else:
            record_written([_written(line) for line in landed], now=self._clock())

    def _next_chunk(self) -> list[ReplayItem]:
        """The oldest items that wait, as many as a transaction should hold."""
        sizes = (
            ReplayItem.objects.filter(state=ReplayItemState.QUEUED)
            .order_by("run_id", "pk")
            .values_list("pk", "dead_letter__value_size")[:CHUNK_ITEMS]
        )
        chosen: list[int] = []
        total = 0
        for pk, size in sizes:
            total += size or 0
            if chosen and (total > CHUNK_BYTES or pk in self._alone or chosen[0] in self._alone):
                break
            chosen.append(pk)
        found = ReplayItem.objects.select_related("dead_letter", "run").filter(pk__in=chosen)
        return list(found.order_by("run_id", "pk"))

    def _mark(self, items: Sequence[ReplayItem], position: LedgerPosition) -> None:
        """Before the transaction: where in the ledger to look for these, should this process die.

        An item that was tried before keeps its mark, because that try may be the one that wrote it.
        """
        now = self._clock()
        ReplayItem.objects.filter(pk__in=[item.pk for item in items], ledger_offset__isnull=True).update(
            ledger_topic_id=position.topic_id, ledger_offset=position.end
        )
        ReplayRun.objects.filter(
            pk__in={item.run_id for item in items}, state__in=(ReplayRunState.QUEUED, ReplayRunState.RUNNING)
        ).update(state=ReplayRunState.RUNNING, started_at=Coalesce("started_at", now), waiting_for="")

    def _settle_unwritten(self, outcomes: Sequence[ReplayRejected]) -> int:
        """Under the lease's lock: a judgement by a process that has been replaced must not count."""
        with transaction.atomic():
            self._holding.renew(self._clock())
            return record_unwritten(outcomes, now=self._clock())


def replay_waiting(client: ClientSettings, *, budget_s: float = 120.0) -> bool:
    """Replay what waits, unless another process is at it. True: the budget ended first, call again.

    An unreachable cluster is written to the runs that wait for it, and left to the next call.
    """
    transactional_id, ledger_topic = names()
    ends = time.monotonic() + budget_s
    while waiting_runs().exists():
        token = leases.claim(
            transactional_id=transactional_id, holder=this_process(), now=datetime.now(UTC), ttl_s=LEASE_S
        )
        if token is None:
            return False
        try:
            kafka = ClusterKafka(client, transactional_id=transactional_id, ledger_topic=ledger_topic)
            replayer = Replayer(kafka, ReplayerLease(transactional_id, token))
            replayer.recover()
            while replayer.step():
                if time.monotonic() >= ends:
                    return True
        except KafkaUnavailable as error:
            log.warning("replay waits: %s", error)
            waiting_runs().update(waiting_for=str(error)[:500])
            return False
        except FencedError as error:
            log.warning("replay left to another process: %s", error)
            return False
        except Exception as error:
            # Who waits for the run reads this; who can help reads the log.
            waiting_runs().update(waiting_for=f"the replayer failed ({type(error).__name__}); it tries again")
            raise
        finally:
            leases.release(transactional_id=transactional_id, token=token, now=datetime.now(UTC))
        # A run that was made while the lease was held found it taken, so look again.
    return False


def waiting_runs() -> QuerySet[ReplayRun]:
    """Runs that have something left to send or to settle."""
    return ReplayRun.objects.filter(state__in=(ReplayRunState.QUEUED, ReplayRunState.RUNNING))


def names() -> tuple[str, str]:
    """The fixed transactional id, and the ledger's topic."""
    organization = settings.GDS_ORGANIZATION
    return f"{organization}-replayer", f"{organization}.replays.{settings.GDS_ENVIRONMENT}"


def _outgoing(item: ReplayItem, partitions: int) -> Outgoing:
    letter = item.dead_letter
    original = DecodedDeadLetter(
        form="headers",
        key=_bytes(letter.key),
        value=_bytes(letter.value),
        headers=letter.header_pairs(),
        first_failed_at=letter.first_failed_at,
    )
    # To the partition it came from: whoever made the key's choice, it stays among its key's records.
    partition = letter.partition if letter.partition is not None and letter.partition < partitions else None
    return Outgoing(
        replay_id=str(item.replay_id),
        topic=item.target_topic,
        partition=partition,
        key=original.key,
        value=original.value,
        headers=replay_headers(original, ReplayMark(str(item.replay_id), item.number, letter.only_group)),
    )


def _bytes(value: bytes | memoryview | None) -> bytes | None:
    """PostgreSQL's driver gives views of its buffers."""
    return None if value is None else bytes(value)


def _written(line: ProducedReplay) -> ReplayProduced:
    return ReplayProduced(uuid.UUID(line.replay_id), line.partition, line.offset)


def _missing(item: ReplayItem) -> str:
    return f"topic {item.target_topic} does not exist on the cluster; make it, then replay again"


def _lost(item: ReplayItem) -> str:
    return (
        "whether it was sent is unknown, because the replay ledger was deleted meanwhile: look for header "
        f"gds.dlq.replay.id = {item.replay_id} in {item.target_topic} before replaying again"
    )
