"""Exactly once, from Kafka to Kafka: what a step hands on and the offsets behind it, in one transaction.

A transaction opens with the first record handed on and is committed a few times a second. Until then
its records are invisible to readers of committed data, and the group's offsets stand where they were.
Whatever goes wrong, the transaction is aborted, and every partition is read again from the committed
offset: that offset is the one truth of what was sent. Only readers with `isolation.level=read_committed`
see each record once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import TopicPartition as ClientPartition

from gdsconsole.kafka.clients import Producer, Source, new_producer
from gdsconsole.kafka.config import ClientSettings
from gdsconsole.kafka.errors import FencedError, TransientError, describe
from gdsconsole.kafka.forwarding.delivery import ROOM_TIMEOUT_S, Forwarded, Forwarding, produce
from gdsconsole.kafka.offsets.commits import AFTER_REFUSAL_S, Commits, Committer, Refusal, as_partitions
from gdsconsole.kafka.offsets.safe_offsets import OffsetTracker, Stretch
from gdsconsole.kafka.partitions import TopicPartition
from gdsconsole.kafka.producing import transactions
from gdsconsole.kafka.producing.transactions import TransactionAborted
from gdsconsole.kafka.status import Counters

log = logging.getLogger(__name__)

EVERY_S = 0.1
# A commit takes several round trips; at most this share of the time goes to them.
COMMIT_SHARE = 0.1
# A transaction that a slow commit put off must not time out, and its records wait to be seen.
LONGEST_S = 1.0
# Offsets and commit together. A leader that died is replaced after 5 to 9 s, and a transaction that waits for
# it goes on by itself; given up, all of it is done again, once what it had open is ended. Less than a
# transaction may last.
COMMIT_TIMEOUT_S = 8.0
ABORT_TIMEOUT_S = 2.0
INIT_TIMEOUT_S = 5.0
# What a killed consumer had open holds readers back until its slot's next one starts, or for this long. And a
# coordinator that is away holds the client's call up for it, whatever bound the call is given: less than a
# lease lasts.
TRANSACTION_TIMEOUT_MS = 10_000
# A producer that has waited for its id this long is made anew, in case it is that which hangs.
STARTING_S = 30.0


class InTransactions(Forwarded):
    """The transactions of one consumer.

    `open_producer` makes a producer with the slot's transactional id, so that a new consumer of the slot
    ends what the old one left open, and locks it out.
    """

    def __init__(
        self,
        open_producer: Callable[[], Producer],
        settings: ClientSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._open_producer = open_producer
        self._settings = settings
        self._clock = clock
        self._producer: Producer | None = None
        # One that has no id yet, and since when it waits.
        self._starting: tuple[Producer, float] | None = None
        self._began_at = 0.0
        self._sealed: list[Stretch] = []
        self.is_open = False
        # Why the open transaction must not be committed.
        self.spoiled = ""
        # Told the offsets of each transaction that is committed.
        self.on_commit: Callable[[Mapping[TopicPartition, int]], None] = lambda offsets: None

    def prepare(self) -> None:
        """Have a producer, and no earlier transaction of this slot open. Raises `TransientError`."""
        if self._producer is not None:
            return
        now = self._clock()
        if self._starting is None or now - self._starting[1] >= STARTING_S:
            self._starting = (self._open_producer(), now)
        producer, _ = self._starting
        try:
            transactions.init_transactions(producer, self._settings, timeout_s=INIT_TIMEOUT_S)
        except TransientError as error:
            # What it asked for may still be answered. Asked for by another producer too, whichever of the
            # two the coordinator heard last would lock the other one out.
            if not transactions.may_go_on(error):
                self._starting = None
            raise
        self._producer, self._starting = producer, None

    def seal(self, stretches: Sequence[Stretch]) -> None:
        outgoing = self.taken()
        if outgoing:
            deadline = self._clock() + ROOM_TIMEOUT_S
            producer = self._begun()
            try:
                for topic, records in outgoing:
                    produce(producer, topic, records, deadline, self._clock)
            except Exception as error:
                self.spoil(f"{type(error).__name__}: {error}")
                raise TransientError(self.spoiled) from error
        self._sealed += stretches

    def settled(self) -> Sequence[Stretch]:
        """All that is sealed: its offsets can't be committed without its records."""
        if self._producer is not None:
            self._producer.poll(0)
        sealed, self._sealed = self._sealed, []
        return sealed

    def finish(self, timeout_s: float) -> None:
        """The commit waits for what is on its way."""

    def commit(
        self,
        offsets: Mapping[TopicPartition, int],
        member: object,
        *,
        labels: Mapping[TopicPartition, str] | None = None,
    ) -> None:
        """Commit what was sent, and these offsets with their labels. Raises as a `transaction` does.

        After any failure nothing more may be sent before everything is read again from the committed
        offsets, which `prepare` makes certain.
        """
        producer = self._begun()
        if self.spoiled:
            reason = self.spoiled
            self.abort()
            raise TransactionAborted(reason)
        deadline = time.monotonic() + COMMIT_TIMEOUT_S
        try:
            if offsets:
                parts = as_partitions(offsets, labels)
                transactions.send_offsets(producer, parts, member, timeout_s=COMMIT_TIMEOUT_S)
            transactions.commit(producer, timeout_s=deadline - time.monotonic())
        except FencedError as error:
            self._discard()
            if self._clock() - self._began_at < TRANSACTION_TIMEOUT_MS / 1000:
                raise
            # A coordinator that ends a transaction for its age locks the producer out as a successor would.
            raise TransactionAborted(f"it was open for too long: {error}") from error
        except Exception:
            self._discard()
            raise
        self.is_open = False
        self.on_commit(offsets)

    def spoil(self, reason: str) -> None:
        """Let nothing of the open transaction be committed."""
        self.spoiled = reason

    def abort(self) -> None:
        """Give the open transaction up, if there is one."""
        if self._producer is not None and self.is_open:
            self._producer.purge()
            transactions.abort(self._producer, timeout_s=ABORT_TIMEOUT_S)
            self._discard()
        self.spoiled = ""

    def close(self) -> None:
        self.drop()
        self.abort()
        self._discard()
        self._starting = None

    def _begun(self) -> Producer:
        if self._producer is None:
            raise TransientError("the transaction's producer isn't there yet")
        if not self.is_open:
            self._producer.begin_transaction()
            self.is_open, self._began_at = True, self._clock()
        return self._producer

    def _discard(self) -> None:
        """After a failure the client library may have lost count: the next transaction has a new producer.

        Making it also waits until it is known how the last one ended.
        """
        self._producer = None
        self._sealed = []
        self.is_open = False
        self.spoiled = ""


class TransactionalCommitter:
    """Commits offsets in the transactions of what was handed on, and no offset in any other way.

    An offset committed on its own could overtake, or be overtaken by, one of a transaction.
    """

    def __init__(
        self,
        onward: InTransactions,
        offsets: OffsetTracker,
        counters: Counters,
        clock: Callable[[], float],
    ) -> None:
        self.last_at: float | None = None
        self._onward = onward
        self._offsets = offsets
        self._counters = counters
        self._clock = clock
        self._source: Source | None = None
        self._next_at = 0.0
        self._refusal: Refusal | None = None

    def use(self, source: Source) -> None:
        self._source = source

    def prepare(self) -> None:
        """Called before partitions are placed: they start at committed offsets, so nothing may be open."""
        if self._onward.is_open and self._source is not None and self._refusal is None:
            self._commit(self._source, self._offsets.due())
        if self._refusal is not None:
            raise TransientError(f"a transaction was not committed: {describe(self._refusal.error)}")
        self._onward.prepare()

    def stop(self) -> None:
        self._source = None
        self._onward.abort()

    def on_commit(self, error: KafkaError | None, partitions: list[ClientPartition]) -> None:
        """Not called: no commit is asked of the consumer."""

    def take_back(self, reason: str) -> None:
        if self._onward.is_open:
            self._onward.spoil(reason)
            self._refuse(KafkaError(KafkaError._ASSIGNMENT_LOST, reason))

    def refusal(self) -> Refusal | None:
        refusal, self._refusal = self._refusal, None
        if refusal is not None:
            # On a loss it was not tried.
            self._onward.abort()
        return refusal

    def commit_due(self) -> None:
        now = self._clock()
        if self._source is None or self._refusal is not None:
            return
        if now < self._next_at and not self._onward.spoiled:
            return
        due = self._offsets.due()
        if due or self._onward.is_open:
            began = time.monotonic()
            self._commit(self._source, due)
            if self._refusal is None:
                took = time.monotonic() - began
                self._next_at = self._clock() + min(max(EVERY_S, took / COMMIT_SHARE), LONGEST_S)

    def before_revocation(self, tps: Sequence[TopicPartition]) -> None:
        """All of it: the transaction is one, whatever partitions its records came from."""
        due = self._offsets.due()
        if self._source is not None and self._refusal is None and (due or self._onward.is_open):
            self._commit(self._source, due)

    def finish(self, timeout_s: float) -> bool:
        due = self._offsets.due()
        if self._source is not None and self._refusal is None and (due or self._onward.is_open):
            self._commit(self._source, due)
        return self._refusal is None

    def _commit(self, source: Source, due: Mapping[TopicPartition, int]) -> None:
        try:
            self._onward.commit(due, source.consumer_group_metadata(), labels=self._offsets.labels)
        except FencedError as error:
            self._refuse(KafkaError(KafkaError._FENCED, str(error), fatal=True))
        except TransactionAborted as error:
            # An end of the producer is none of the consumer, and there will be another producer.
            cause = error.cause if error.cause is not None and not error.cause.fatal() else None
            self._refuse(cause or KafkaError(KafkaError._RETRY, str(error)))
        except (TransientError, KafkaException) as error:
            self._refuse(KafkaError(KafkaError._RETRY, str(error)))
        else:
            for tp, offset in due.items():
                self._offsets.acknowledged(tp, offset)
            self.last_at = self._clock()
            self._counters.commits += 1

    def _refuse(self, error: KafkaError) -> None:
        log.warning("a transaction was not committed: %s", describe(error))
        self._counters.commit_failures += 1
        self._next_at = self._clock() + AFTER_REFUSAL_S
        self._refusal = Refusal(error, rewinds=True)
        self._offsets.undo()


def in_transactions(settings: ClientSettings, *, group: str, slot: int) -> InTransactions:
    """For the group's consumer number `slot`; connects when its first partitions are placed."""
    transactional_id = f"{group}-{slot}"

    def open_producer() -> Producer:
        return new_producer(
            settings,
            client_id=transactional_id,
            transactional_id=transactional_id,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
        )

    return InTransactions(open_producer, settings)


def committer(
    onward: Forwarding | None, offsets: OffsetTracker, counters: Counters, clock: Callable[[], float]
) -> Commits:
    """How a pipeline that sends records on this way commits."""
    if isinstance(onward, InTransactions):
        return TransactionalCommitter(onward, offsets, counters, clock)
    return Committer(offsets, counters, clock)
