"""Sends a stream of records at a steady rate and counts what became of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from gdsconsole.kafka.clients import Producer
from gdsconsole.kafka.producing.sender import OutgoingRecord, RecordSender
from gdsconsole.management.pacing import Pace
from topics.telemetry import DECODE_ERRORS, METRIC_DECODER

# Records made before the buffer and the clock are looked at again: some 20 ms of work.
_MAX_BATCH = 2000
# At high rates a longer wait gathers more records, and each costs less.
_MIN_WAIT_S = 0.01


@dataclass(frozen=True, slots=True)
class Result:
    """What became of the records; `failed` are those not known to be delivered."""

    sent: int
    delivered: int
    poison: int

    @property
    def failed(self) -> int:
        return self.sent - self.delivered


class Simulation:
    """Sends `total` records (None: for ever) from (key, value) pairs, `rate` a second from `started`.

    Times are seconds of one monotonic clock. `patience_s` and `stop` are the sender's. Counting poison
    decodes every record: pass False where there can be none.
    """

    def __init__(
        self,
        producer: Producer,
        topic: str,
        records: Iterator[tuple[bytes | None, bytes | None]],
        *,
        rate: float,
        total: int | None,
        started: float,
        patience_s: float | None,
        stop: Callable[[], bool],
        counts_poison: bool = True,
    ) -> None:
        self.poison = 0
        self.first_failure: str | None = None
        self._sender = RecordSender(
            producer, topic, on_failure=self._failed, patience_s=patience_s, stop=stop
        )
        self._records = records
        self._counts_poison = counts_poison
        self._left = total
        self._pace = Pace(rate, started=started)

    @property
    def delivered(self) -> int:
        """Acknowledged so far."""
        return self._sender.delivered

    def step(self, now: float) -> bool:
        """Send what is due, at most one batch; False when all is sent or `stop` ended the sending.

        Raises `SendStalled` as the sender does.
        """
        count = min(self._pace.due(now), _MAX_BATCH)
        if self._left is not None:
            count = min(count, self._left)
            self._left -= count
        if count:
            batch = [{"value": value, "key": key} for key, value in islice(self._records, count)]
            self._pace.take(count)
            if self._counts_poison:
                self.poison += sum(_is_poison(record["value"]) for record in batch)
            if self._sender.send_batch(batch) < count:
                return False
        return self._left != 0

    def wait_s(self, now: float) -> float:
        """Seconds until the next step has something to do."""
        due_in_s = self._pace.wait_s(now)
        return max(due_in_s, _MIN_WAIT_S) if due_in_s else 0.0

    def finish(self, *, timeout_s: float) -> Result:
        """Wait for the acknowledgements, at most `timeout_s`."""
        report = self._sender.finish(timeout_s=timeout_s)
        return Result(report.sent, report.delivered, self.poison)

    def _failed(self, _: OutgoingRecord, reason: str) -> None:
        self.first_failure = self.first_failure or reason


def _is_poison(value: bytes | None) -> bool:
    try:
        METRIC_DECODER.decode(value)  # type: ignore[arg-type]
    except DECODE_ERRORS:
        return True
    return False
