"""A stretch of one partition's records, for a page that shows what was around one of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from gdsconsole.kafka.browsing.record_reader import RecordReader
from gdsconsole.kafka.clients import Record
from gdsconsole.kafka.config import ClientSettings

# Of keys and values: what a page may hold of records that are a megabyte each.
MOST_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class RecordWindow:
    """Records in offset order. `is_whole` is false where time or `MOST_BYTES` ended it before all that
    was asked for.

    `log_start` is the oldest offset the partition still has: what was asked for below it is gone.
    `end` is the first that isn't there yet.
    """

    records: Sequence[Record]
    is_whole: bool
    log_start: int
    end: int


def read_window(
    settings: ClientSettings, topic: str, partition: int, *, first: int, last: int, budget_s: float
) -> RecordWindow:
    """The committed records from offset `first` to `last`, as far as they exist and `budget_s` reaches.

    Raises `KafkaUnavailable` when no broker answers, `UnknownTopic` where there is no such partition.
    """
    with RecordReader(settings, topic) as reader:
        log_start, end = reader.watermarks(partition)
        begin, stop = max(first, log_start), min(last + 1, end)
        if begin >= stop:
            return RecordWindow((), True, log_start, end)
        records: list[Record] = []
        held = 0

        def take(record: Record) -> bool:
            nonlocal held
            records.append(record)
            held += len(record.value() or b"") + len(record.key() or b"")
            return held < MOST_BYTES

        whole = reader.read({partition: (begin, stop)}, take, deadline=time.monotonic() + budget_s)
    return RecordWindow(records, partition in whole, log_start, end)
