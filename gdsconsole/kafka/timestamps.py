"""The time of a record, by the topic's own choice its producer's or its broker's."""

from __future__ import annotations

from datetime import datetime

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE

from gdsconsole.kafka.clients import Record
from gdsconsole.text.times import from_millis


def stamp_ms(record: Record) -> int | None:
    """As it was written, in epoch milliseconds if its writer kept to them; None: the record has none."""
    kind, millis = record.timestamp()
    return None if kind == TIMESTAMP_NOT_AVAILABLE or millis < 0 else millis


def written_at(record: Record) -> datetime | None:
    """The same as a date; None: it has none, or one that no calendar reaches."""
    return from_millis(stamp_ms(record))
