"""Sends metrics written one JSON object a line: every good one, or all or none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from gdsconsole.kafka.clients import Producer
from gdsconsole.kafka.errors import FencedError, InvalidMessage
from gdsconsole.kafka.producing.sender import (
    KEY_STRATEGIES,
    KeyStrategy,
    OutgoingRecord,
    RecordSender,
    SendStalled,
)
from gdsconsole.kafka.producing.transactions import TransactionAborted, TransactionOutcomeUnknown, transaction
from gdsconsole.management.interruption import Interrupted
from gdsconsole.management.lines import MAX_LINE_BYTES, Line
from topics.telemetry import DECODE_ERRORS, METRIC_DECODER, Metric, decode_metric

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of the lines: `failed` are those not known to be delivered."""

    read: int
    delivered: int
    ended_early: bool

    @property
    def failed(self) -> int:
        return self.read - self.delivered

    @property
    def is_complete(self) -> bool:
        return not self.failed and not self.ended_early


def _decoded(value: bytes) -> Metric:
    try:
        return METRIC_DECODER.decode(value)
    except DECODE_ERRORS:
        return decode_metric(value)


class _Abandoned(Exception):
    """Ends the transaction's block, so that it is aborted."""


class MetricLines:
    """Sends lines to one topic. `tell` gets a message for each line that failed, by its number."""

    def __init__(self, producer: Producer, topic: str, *, key_by: KeyStrategy, tell: Tell) -> None:
        self._producer = producer
        self._topic = topic
        self._key = KEY_STRATEGIES[key_by]
        self._tell = tell
        self._read = 0
        self._bad = 0

    def send(
        self, groups: Iterable[list[Line]], *, timeout_s: float, stop: Callable[[], bool] = lambda: False
    ) -> Tally:
        """Every good line; a bad one is told of and counted as failed."""
        sender = self._sender(stop, alone=True)
        ended_early = self._stream(groups, sender)
        report = sender.finish(timeout_s=timeout_s)
        if report.undelivered:
            self._tell(f"{report.undelivered} lines were not acknowledged in time: some of them may arrive")
        return Tally(self._read, report.delivered, ended_early)

    def send_all_or_none(
        self, groups: Iterable[list[Line]], *, timeout_s: float, stop: Callable[[], bool] = lambda: False
    ) -> Tally:
        """All lines in one transaction, aborted if one is bad, refused or not acknowledged."""
        sender = self._sender(stop, alone=False)
        ended_early = False
        try:
            with transaction(self._producer, timeout_s=timeout_s):
                ended_early = self._stream(groups, sender, only_while_all_are_good=True)
                report = sender.finish(timeout_s=timeout_s)
                if ended_early or report.delivered != self._read:
                    raise _Abandoned
        except _Abandoned:
            self._tell("the transaction was aborted: nothing was sent")
        except (TransactionAborted, FencedError) as error:
            self._tell(f"the transaction was aborted by the brokers: {error}")
        except TransactionOutcomeUnknown as error:
            self._tell(f"the commit was not answered, all may have been sent or nothing: {error}")
        else:
            return Tally(self._read, self._read, ended_early=False)
        return Tally(self._read, 0, ended_early)

    def _sender(self, stop: Callable[[], bool], *, alone: bool) -> RecordSender:
        return RecordSender(self._producer, self._topic, on_failure=self._refused, stop=stop, alone=alone)

    def _stream(
        self, groups: Iterable[list[Line]], sender: RecordSender, *, only_while_all_are_good: bool = False
    ) -> bool:
        """Send group by group; whether that ended before the lines did."""
        try:
            for lines in groups:
                self._read += len(lines)
                good = list(self._good(lines))
                # A transaction that will be aborted: go on naming bad lines, but send nothing more.
                if only_while_all_are_good and (self._bad or sender.failed):
                    continue
                if sender.send(good) < len(good):
                    return True
        except Interrupted:
            return True
        except SendStalled as error:
            self._tell(str(error))
            return True
        return False

    def _good(self, lines: Iterable[Line]) -> Iterator[OutgoingRecord]:
        decode, key = _decoded, self._key
        for number, value in lines:
            if value is None:
                self._say_bad(number, f"longer than {MAX_LINE_BYTES >> 20} MB")
                continue
            try:
                yield OutgoingRecord(value, key(decode(value)), reference=number)
            except InvalidMessage as error:
                self._say_bad(number, error.reason)

    def _say_bad(self, number: int, reason: str) -> None:
        self._bad += 1
        self._tell(f"line {number}: {reason}")

    def _refused(self, record: OutgoingRecord, reason: str) -> None:
        self._tell(f"line {record.reference}: {reason}")
