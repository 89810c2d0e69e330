"""A stretch of one partition's records, for a page that shows what was around one of them.

Read by a consumer made for it, which joins no group and commits nothing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from gdsconsole.kafka.clients import ClientHooks, LastError, Record, Source, new_consumer, unavailable
from gdsconsole.kafka.config import ClientSettings
from gdsconsole.kafka.errors import KafkaUnavailable, UnknownTopic, kafka_error

GROUP_ID = "gds-console-reader"
_POLL_S = 0.2
_CONNECT_S = 3.0
# Of keys and values: what a page may hold of records that are a megabyte each.
MOST_BYTES = 16 * 1024 * 1024
# Records taken at once: `MOST_BYTES` is looked at between, so it is passed by this many at most.
_BATCH = 100


@dataclass(frozen=True, slots=True)
class RecordWindow:
    """Records in offset order. `is_whole` is false where time or `MOST_BYTES` ended it before all that
    was asked for.

    `log_start` is the oldest offset the partition still has: what was asked for below it is gone.
    """

    records: Sequence[Record]
    is_whole: bool
    log_start: int


def read_window(
    settings: ClientSettings, topic: str, partition: int, *, first: int, last: int, budget_s: float
) -> RecordWindow:
    """The committed records from offset `first` to `last`, as far as they exist and `budget_s` reaches.

    Raises `KafkaUnavailable` when no broker answers, `UnknownTopic` where there is no such partition.
    """
    because = LastError()
    consumer = new_consumer(
        settings,
        group_id=GROUP_ID,
        client_id=GROUP_ID,
        hooks=ClientHooks(on_error=because),
        enable_partition_eof=True,
        auto_offset_reset="error",
        fetch_min_bytes=1,
        queued_max_messages_kbytes=MOST_BYTES // 1024,
        log_level=0,
    )
    place = TopicPartition(topic, partition)
    try:
        log_start, end = consumer.get_watermark_offsets(place, timeout=_CONNECT_S)
        begin, stop = max(first, log_start), min(last + 1, end)
        if begin >= stop:
            return RecordWindow((), True, log_start)
        consumer.assign([TopicPartition(topic, partition, begin)])
        records, is_whole = _read(consumer, stop, time.monotonic() + budget_s)
    except KafkaException as error:
        cause = kafka_error(error)
        if cause is not None and cause.code() in (
            KafkaError._UNKNOWN_PARTITION,
            KafkaError._UNKNOWN_TOPIC,
            KafkaError.UNKNOWN_TOPIC_OR_PART,
        ):
            raise UnknownTopic(topic, settings.bootstrap_servers) from error
        consumer.poll(0)  # serves the hook, which knows more than that time ran out
        if because.reason is not None:
            raise KafkaUnavailable(settings.bootstrap_servers, because.reason) from error
        raise unavailable(error, settings) from error
    finally:
        consumer.close()
    return RecordWindow(records, is_whole, log_start)


def _read(consumer: Source, stop: int, deadline: float) -> tuple[list[Record], bool]:
    records: list[Record] = []
    held = 0
    while time.monotonic() < deadline and held < MOST_BYTES:
        for record in consumer.consume(_BATCH, timeout=_POLL_S):
            error = record.error()
            if error is None and record.offset() < stop:
                records.append(record)
                held += len(record.value() or b"") + len(record.key() or b"")
            # The end of the partition, the record behind the window, or the last one in it.
            if error is not None or record.offset() >= stop - 1:
                return records, error is None or error.code() == KafkaError._PARTITION_EOF
    return records, False
