"""Sends records and knows of each whether it arrived.

A full buffer is backpressure: the sender polls until there is room. What isn't acknowledged within
the bound is counted and returned as undelivered, never dropped in silence.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol

import msgspec
from confluent_kafka import KafkaError, KafkaException

from gdsconsole.kafka.clients import Headers, Producer, Record
from gdsconsole.kafka.errors import (
    InvalidMessage,
    TransientError,
    describe,
    is_judged_by_batch,
    kafka_error,
)
from gdsconsole.kafka.producing.room import produce_with_room

KeyStrategy = Literal["instance", "metric", "tenant", "none"]

# Delivery reports are served this often; a report holds its record's place in the buffer until then.
_RECORDS_PER_POLL = 500
# Records that may have failed for a neighbour's fault wait here to be sent alone, in bounded memory.
_MAX_WAITING_ALONE = 1000
_ALONE_TIMEOUT_S = 30.0
# The buffer is bounded by records and by bytes. Up to this average the bound by records is met first,
# and then a batch is refused from some record on. Met by bytes, smaller records behind would overtake.
_MAX_BATCHED_BYTES = 1000


class Keyed(Protocol):
    """What a record key is made of: a decoded metric."""

    @property
    def database_type(self) -> str: ...
    @property
    def instance_id(self) -> str: ...
    @property
    def metric_name(self) -> str: ...
    @property
    def tags(self) -> Mapping[str, str]: ...


def instance_key(metric: Keyed) -> bytes:
    """`{database_type}:{instance_id}`: an instance's records stay in order."""
    return f"{metric.database_type}:{metric.instance_id}".encode()


def metric_key(metric: Keyed) -> bytes:
    """The metric's name: all instances' records of a metric go to one partition."""
    return metric.metric_name.encode()


def tenant_key(metric: Keyed) -> bytes:
    """The tenant: raises `InvalidMessage` without one, for a record without a key would mix tenants."""
    tenant = metric.tags.get("tenant_id")
    if not tenant:
        raise InvalidMessage("tags.tenant_id: missing, and records are keyed by tenant")
    return tenant.encode()


def no_key(metric: Keyed) -> None:
    """Spread over all partitions."""


KEY_STRATEGIES: dict[KeyStrategy, Callable[[Keyed], bytes | None]] = {
    "instance": instance_key,
    "metric": metric_key,
    "tenant": tenant_key,
    "none": no_key,
}


class OutgoingRecord(msgspec.Struct, frozen=True, gc=False):
    """A record to send. `reference` is the caller's own name for it, such as a line number.

    Not the garbage collector's business: a hundred thousand of these wait for their delivery, and looking
    through them again and again took two thirds of the time.
    """

    value: bytes | None
    key: bytes | None = None
    headers: Headers | None = None
    timestamp_ms: int = 0  # 0: the time it is sent
    reference: Any = None


class _Report(msgspec.Struct, frozen=True, gc=False):
    """The delivery callback of one record."""

    sender: RecordSender
    record: OutgoingRecord

    def __call__(self, error: KafkaError | None, sent: Record) -> None:
        if error is None and not self.sender.is_finished:
            self.sender.delivered += 1
        else:
            self.sender.settle(self.record, error)


@dataclass(frozen=True, slots=True)
class Delivery:
    """The delivery report of one record; without an error it is at `partition` and `offset`."""

    topic: str
    partition: int | None
    offset: int | None
    error: str | None


@dataclass(frozen=True, slots=True)
class SendReport:
    """What became of the records: `sent` is the sum of the other three.

    `undelivered` were not acknowledged within the bound. Some of them may have been written.
    """

    sent: int
    delivered: int
    failed: int
    undelivered: int


class SendStalled(TransientError):
    """The buffer is full and nothing has been delivered for too long."""


def send_one(producer: Producer, topic: str, record: OutgoingRecord, *, timeout_s: float = 30.0) -> Delivery:
    """Send a record and wait for its delivery report, and for all else the producer has to send."""
    reports: list[Delivery] = []

    def report(error: KafkaError | None, sent: Record) -> None:
        # The offset beside an error is another record's.
        at = (sent.partition(), sent.offset()) if error is None else (None, None)
        reports.append(Delivery(topic, *at, describe(error) if error is not None else None))

    deadline = time.monotonic() + timeout_s
    try:
        RecordSender(producer, topic, patience_s=timeout_s).enqueue(record, report)
    except (KafkaException, SendStalled) as failure:
        return Delivery(topic, None, None, _reason(failure))
    producer.flush(max(0.0, deadline - time.monotonic()))
    return reports[0] if reports else Delivery(topic, None, None, f"not acknowledged in {timeout_s:g} s")


class RecordSender:
    """Streams records to one topic, on the thread that calls; `finish` must end it.

    `on_failure` gets each record that was refused, and why. `patience_s` bounds how long a full buffer
    may go without a delivery (None: for ever); `stop` ends the waiting earlier.
    `alone` says whether to send again, one by one, what a batch's refusal may have hit by mistake: such
    records arrive after later ones of their key. In a transaction one refusal ends all.
    """

    def __init__(
        self,
        producer: Producer,
        topic: str,
        *,
        on_failure: Callable[[OutgoingRecord, str], None] | None = None,
        patience_s: float | None = 30.0,
        stop: Callable[[], bool] = lambda: False,
        alone: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.sent = 0
        self.delivered = 0
        self.failed = 0
        self._producer = producer
        self._topic = topic
        self._on_failure = on_failure
        self._patience_s = patience_s
        self._stop = stop
        self._alone = alone
        self._clock = clock
        self._waiting: deque[OutgoingRecord] = deque()
        self.is_finished = False

    def send(self, records: Iterable[OutgoingRecord]) -> int:
        """Send each record, and report it by itself if it fails. Returns how many were taken.

        Fewer than given were taken when `stop` said so in front of a full buffer. Raises
        `SendStalled` after `patience_s` in front of one.
        """
        taken, produce, topic = 0, self._producer.produce, self._topic
        for taken, record in enumerate(records, 1):
            report = _Report(self, record)
            try:
                try:
                    # As `enqueue` does; the call to it is a tenth of what a record costs.
                    produce(
                        topic,
                        record.value,
                        record.key,
                        on_delivery=report,
                        timestamp=record.timestamp_ms,
                        headers=record.headers,
                    )
                except BufferError:
                    if not self.enqueue(record, report):
                        return taken - 1
            except KafkaException as error:
                self._fail(record, _reason(error))
            self.sent += 1
            if taken % _RECORDS_PER_POLL == 0:
                self._producer.poll(0)
        self._producer.poll(0)
        self._send_waiting_alone(over=_MAX_WAITING_ALONE, timeout_s=_ALONE_TIMEOUT_S)
        return taken

    def send_batch(self, batch: list[dict[str, Any]]) -> int:
        """As `send`, of dicts with a "value" and a "key": no headers, no reference, faster.

        The list is the sender's from now on. Returns how many were taken.
        """
        if not _by_value(batch):
            return self.send(OutgoingRecord(record["value"], record["key"]) for record in batch)
        given = len(batch)
        began = (self.delivered + self.failed, self._clock())
        while batch:
            taken = self._producer.produce_batch(self._topic, batch, on_delivery=self._settle_unnamed)
            self.sent += taken
            if taken == len(batch):
                break
            batch = self._refused(batch)
            if batch:
                if self._stop():
                    return given - len(batch)
                began = self._wait_for_room(began)
        self._producer.poll(0)
        self._send_waiting_alone(over=_MAX_WAITING_ALONE, timeout_s=_ALONE_TIMEOUT_S)
        return given

    def enqueue(
        self, record: OutgoingRecord, on_delivery: Callable[[KafkaError | None, Record], None]
    ) -> bool:
        """Put one record into the buffer, waiting for room; False when `stop` ended the waiting."""
        began: tuple[int, float] | None = None

        def wait() -> bool:
            nonlocal began
            if self._stop():
                return False
            began = self._wait_for_room(began or (self.delivered + self.failed, self._clock()))
            return True

        produce = partial(
            self._producer.produce,
            self._topic,
            record.value,
            record.key,
            on_delivery=on_delivery,
            timestamp=record.timestamp_ms,
            headers=record.headers,
        )
        return produce_with_room(produce, wait)

    def finish(self, *, timeout_s: float = 30.0) -> SendReport:
        """Wait for what is under way, at most `timeout_s`; what is still not sent then never will be."""
        deadline = self._clock() + timeout_s
        self._producer.flush(timeout_s)
        self._send_waiting_alone(over=0, timeout_s=max(0.0, deadline - self._clock()))
        self.is_finished = True
        undelivered = self.sent - self.delivered - self.failed
        if undelivered:
            self._producer.purge()
            self._producer.poll(0)
        return SendReport(self.sent, self.delivered, self.failed, undelivered)

    def _wait_for_room(self, began: tuple[int, float]) -> tuple[int, float]:
        """Serve delivery reports for a moment. `began`: reports so far, and when there were that many."""
        self._producer.poll(0.1)
        reports, since = self.delivered + self.failed, began[1]
        if reports != began[0]:
            return reports, self._clock()
        if self._patience_s is not None and self._clock() - since > self._patience_s:
            raise SendStalled(
                f"nothing was delivered for {self._patience_s:g} s, {len(self._producer)} records wait"
            )
        return reports, since

    def _refused(self, batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What found no room, to be sent again; anything else refused is counted as failed."""
        again = []
        for record in batch:
            error = record.pop("_error", None)
            if error is None:
                continue
            if error.code() == KafkaError._QUEUE_FULL:
                again.append(record)
            else:
                self.sent += 1
                self._fail(OutgoingRecord(record["value"], record["key"]), describe(error))
        return again

    def _settle_unnamed(self, error: KafkaError | None, sent: Record) -> None:
        if error is None:
            self.delivered += 1
        else:
            self.settle(OutgoingRecord(sent.value(), sent.key()), error)

    def settle(self, record: OutgoingRecord, error: KafkaError | None) -> None:
        """Count what became of a record, unless its sender has been finished; for its delivery report."""
        if self.is_finished:
            return
        if error is None:
            self.delivered += 1
        elif self._alone and is_judged_by_batch(error):
            self._waiting.append(record)
        else:
            self._fail(record, describe(error))

    def _fail(self, record: OutgoingRecord, reason: str) -> None:
        self.failed += 1
        if self._on_failure is not None:
            self._on_failure(record, reason)

    def _send_waiting_alone(self, *, over: int, timeout_s: float) -> None:
        """Send again, one by one, what a batch's refusal hit, once there is more of it than `over`."""
        if len(self._waiting) <= over:
            return
        deadline = self._clock() + timeout_s
        self._producer.flush(timeout_s)
        # With anything else in the buffer there would be neighbours again.
        while self._waiting and not len(self._producer):
            record = self._waiting.popleft()
            try:
                self.enqueue(record, partial(self._settle_alone, record))
            except KafkaException as error:
                self._fail(record, _reason(error))
            self._producer.flush(max(0.0, deadline - self._clock()))

    def _settle_alone(self, record: OutgoingRecord, error: KafkaError | None, _: Record) -> None:
        if self.is_finished:
            return
        if error is None:
            self.delivered += 1
        else:
            self._fail(record, describe(error))


def _by_value(batch: list[dict[str, Any]]) -> bool:
    """Whether these are so small that the buffer is full by their number before it is by their bytes."""
    return sum(len(record["value"] or b"") for record in batch) <= _MAX_BATCHED_BYTES * len(batch)


def _reason(error: Exception) -> str:
    cause = kafka_error(error) if isinstance(error, KafkaException) else None
    return describe(cause) if cause is not None else str(error)
