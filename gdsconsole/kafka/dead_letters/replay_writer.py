"""Sends records again, each exactly once, however often its sender is killed.

A replayed record and its line in the replay ledger (key = replay id) are written in one Kafka
transaction. After any failure the next writer takes over: `take_over` ends or aborts what its
predecessor left open and locks it out, and from then on the ledger says of every replay, for good,
whether it was written.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial

from confluent_kafka import KafkaError, KafkaException

from gdsconsole.kafka.clients import Headers, Producer, Record, new_producer, unavailable
from gdsconsole.kafka.cluster.admin_client import metadata
from gdsconsole.kafka.config import ClientSettings
from gdsconsole.kafka.dead_letters import replay_ledger
from gdsconsole.kafka.dead_letters.replay_ledger import ProducedReplay
from gdsconsole.kafka.errors import (
    FailureKind,
    FencedError,
    KafkaUnavailable,
    classify_kafka,
    describe,
    kafka_error,
)
from gdsconsole.kafka.producing.room import produce_with_room
from gdsconsole.kafka.producing.transactions import until_done

_ANY_PARTITION = -1


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to send again. `partition` None leaves the choice to the partitioner."""

    replay_id: str
    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: Headers


class RecordRejected(Exception):
    """The brokers will not take one of a transaction's records, whatever the time. Nothing was written."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ReplayWriter:
    """The one writer of replays: a producer with a fixed transactional id.

    Used on one thread. Whatever it raises, it is done for: make another, take over, and read the ledger.
    That holds for a rejection too, because librdkafka counts the rejected records' sequence numbers, and
    fails whatever the same producer sends to their partitions next.
    """

    def __init__(
        self,
        producer: Producer,
        settings: ClientSettings,
        *,
        ledger_topic: str,
        timeout_s: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._producer = producer
        self._settings = settings
        self._ledger_topic = ledger_topic
        self._timeout_s = timeout_s
        self._clock = clock

    def take_over(self) -> None:
        """Lock every earlier writer out; on return none of its transactions is open."""
        self._until_done(self._producer.init_transactions, self._clock() + self._timeout_s)

    def write(self, records: Sequence[Outgoing]) -> list[ProducedReplay]:
        """Write these records and their ledger lines in one transaction; where each of them landed.

        Raises `RecordRejected`, having written nothing, when one of the records is to blame: try them
        one by one. Raises `KafkaUnavailable` or `FencedError`, not knowing whether anything was written.
        """
        deadline = self._clock() + self._timeout_s
        try:
            self._producer.begin_transaction()
            reports = _Reports()
            rejection = self._produce(records, reports, deadline) or self._delivered(reports, deadline)
            if rejection is not None:
                self._until_done(self._producer.abort_transaction, deadline + self._timeout_s)
                raise RecordRejected(rejection)
            landed = [reports.landed[record.replay_id] for record in records]
            self._write_ledger(landed, deadline)
            self._until_done(self._producer.commit_transaction, deadline)
            return landed
        except KafkaUnavailable:
            self._abort_quietly()
            raise
        except KafkaException as error:
            self._abort_quietly()
            raise self._translated(error) from error

    def _produce(self, records: Sequence[Outgoing], reports: _Reports, deadline: float) -> str | None:
        for record in records:
            try:
                self._enqueue(record, reports, deadline)
            except KafkaException as error:
                # An earlier record's rejection, reported or not yet, makes the next `produce` fail too.
                self._producer.poll(0)
                cause = kafka_error(error)
                if reports.rejection is None and (cause is None or not _is_records_fault(cause)):
                    raise
                return reports.rejection or (describe(cause) if cause is not None else str(error))
        return None

    def _write_ledger(self, landed: Sequence[ProducedReplay], deadline: float) -> None:
        reports = _Reports()
        for line in landed:
            record = Outgoing(
                line.replay_id,
                self._ledger_topic,
                replay_ledger.PARTITION,
                line.replay_id.encode(),
                replay_ledger.encode_line(line),
                [],
            )
            self._enqueue(record, reports, deadline)
        rejection = self._delivered(reports, deadline)
        if rejection is not None:
            raise self._unreachable(f"replay ledger {self._ledger_topic}: {rejection}")

    def _enqueue(self, record: Outgoing, reports: _Reports, deadline: float) -> None:
        partition = _ANY_PARTITION if record.partition is None else record.partition

        def produce() -> None:
            # Its own timestamp would be the failed record's: retention could take it at once.
            self._producer.produce(
                record.topic,
                record.value,
                record.key,
                partition,
                on_delivery=partial(reports.take, record.replay_id),
                headers=record.headers,
            )

        if not produce_with_room(produce, lambda: self._drains(deadline)):
            raise self._unreachable("its producer's queue stays full")
        reports.expected += 1
        self._producer.poll(0)

    def _drains(self, deadline: float) -> bool:
        self._producer.poll(0.1)
        return self._clock() < deadline

    def _delivered(self, reports: _Reports, deadline: float) -> str | None:
        """Wait for the reports. Why the brokers reject one of the records, or None: they took all."""
        while not reports.is_complete and reports.rejection is None:
            if self._clock() >= deadline:
                raise self._unreachable(reports.failure or "no acknowledgement in time")
            self._producer.flush(0.1)
        return reports.rejection

    def _until_done(self, call: Callable[[float], None], deadline: float) -> None:
        """Call a transaction method until it has an answer; a retriable error isn't one."""
        try:
            until_done(call, deadline, clock=self._clock)
        except KafkaException as error:
            raise self._translated(error) from error

    def _abort_quietly(self) -> None:
        """Let go of readers that wait for this transaction; the next writer aborts it otherwise."""
        try:
            self._producer.purge()
            self._producer.abort_transaction(2.0)
        except KafkaException:
            return

    def _translated(self, error: KafkaException) -> Exception:
        cause = kafka_error(error)
        if cause is not None and classify_kafka(cause) is FailureKind.FENCED:
            return FencedError(f"another replayer has taken over: {describe(cause)}")
        return unavailable(error, self._settings)

    def _unreachable(self, reason: str) -> KafkaUnavailable:
        return KafkaUnavailable(self._settings.bootstrap_servers, reason)


class _Reports:
    """Delivery reports of one transaction's records."""

    def __init__(self) -> None:
        self.expected = 0
        self.landed: dict[str, ProducedReplay] = {}
        # A record's own fault, and anything else; both in words.
        self.rejection: str | None = None
        self.failure: str | None = None

    @property
    def is_complete(self) -> bool:
        return len(self.landed) == self.expected

    def take(self, replay_id: str, error: KafkaError | None, record: Record) -> None:
        topic, partition, offset = record.topic(), record.partition(), record.offset()
        if error is None and topic is not None and partition is not None and offset is not None:
            self.landed[replay_id] = ProducedReplay(replay_id, topic, partition, offset)
        elif error is not None and _is_records_fault(error):
            self.rejection = describe(error)
        elif error is not None:
            self.failure = describe(error)


def _is_records_fault(error: KafkaError) -> bool:
    if error.fatal() or error.code() == KafkaError._STATE:
        return False
    return classify_kafka(error) is FailureKind.UNKNOWN


def new_replay_writer(
    settings: ClientSettings, *, transactional_id: str, ledger_topic: str, timeout_s: float = 15.0
) -> ReplayWriter:
    """A writer with a producer of this process; it must `take_over` before it writes."""
    producer = new_producer(
        settings,
        client_id=transactional_id,
        transactional_id=transactional_id,
        linger_ms=5,
        log_level=2,
    )
    return ReplayWriter(producer, settings, ledger_topic=ledger_topic, timeout_s=timeout_s)


def partition_counts(settings: ClientSettings, topics: Collection[str]) -> dict[str, int]:
    """How many partitions each of these topics has; one that doesn't exist is left out.

    All topics are listed: asking for one by name would create it where brokers allow that.
    """
    seen = metadata(settings).topics
    return {
        topic: len(seen[topic].partitions) for topic in topics if topic in seen and seen[topic].error is None
    }
