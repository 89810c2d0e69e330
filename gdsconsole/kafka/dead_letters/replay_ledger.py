"""The replay ledger: one line for each replay, written in the transaction of the replay itself.

So it knows, after whatever crash, which replays are in their topics and where. It is one topic of
one partition, which one writer at a time fills (`replay_writer.py`).
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]  # public, but not in its __all__

from gdsconsole.kafka.clients import Record, Source, new_consumer, unavailable
from gdsconsole.kafka.cluster.admin_client import admin_client, answer, metadata
from gdsconsole.kafka.cluster.metadata import topic_ids
from gdsconsole.kafka.config import ClientSettings
from gdsconsole.kafka.errors import FailureKind, KafkaUnavailable, classify_kafka, describe, kafka_error

PARTITION = 0
MAX_REPLICAS = 3
CONFIG = {
    "cleanup.policy": "delete",
    # A replay is settled within minutes; the rest is for people who ask what was sent.
    "retention.ms": str(90 * 86_400_000),
}


@dataclass(frozen=True, slots=True)
class ProducedReplay:
    """A replay that is in its topic for good."""

    replay_id: str
    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class LedgerPosition:
    """The ledger as it stood: offsets from `start` to before `end` are in it."""

    topic_id: str
    start: int
    end: int


def ensure(settings: ClientSettings, topic: str, *, timeout_s: float = 15.0) -> None:
    """Make the topic where it is missing: up to three replicas, of which all but one must be in sync."""
    seen = metadata(settings)
    found = seen.topics.get(topic)
    if found is not None and found.error is None:
        return
    replicas = min(MAX_REPLICAS, len(seen.brokers))
    wanted = NewTopic(topic, 1, replicas, config={**CONFIG, "min.insync.replicas": str(max(1, replicas - 1))})
    future = admin_client(settings).create_topics([wanted], operation_timeout=timeout_s)[topic]
    try:
        answer(future, settings, timeout_s=timeout_s)
    except KafkaException as error:
        cause = kafka_error(error)
        if cause is None or cause.code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise unavailable(error, settings) from error


def position(settings: ClientSettings, topic: str, *, timeout_s: float = 15.0) -> LedgerPosition:
    """Where the ledger begins and ends; call after `take_over`, when nobody else writes to it."""
    reader = _reader(settings, topic)
    try:
        start, end = reader.get_watermark_offsets(TopicPartition(topic, PARTITION), timeout=timeout_s)
        topic_id = topic_ids(settings, [topic]).get(topic)
    except KafkaException as error:
        raise unavailable(error, settings) from error
    finally:
        reader.close()
    if topic_id is None:
        raise KafkaUnavailable(settings.bootstrap_servers, f"replay ledger {topic} does not exist")
    return LedgerPosition(topic_id, start, end)


def read(
    settings: ClientSettings, topic: str, *, start: int, timeout_s: float = 30.0
) -> dict[str, ProducedReplay]:
    """The committed lines from offset `start` on, by replay id.

    Raises `KafkaUnavailable` when the end wasn't reached in time: half a ledger would send twice.
    """
    reader = _reader(settings, topic)
    deadline = time.monotonic() + timeout_s
    lines: dict[str, ProducedReplay] = {}
    try:
        reader.assign([TopicPartition(topic, PARTITION, start)])
        while time.monotonic() < deadline:
            for record in reader.consume(500, timeout=0.5):
                problem = record.error()
                if problem is None:
                    line = decode_line(record)
                    if line is not None:
                        lines[line.replay_id] = line
                elif problem.code() == KafkaError._PARTITION_EOF:
                    return lines
                elif classify_kafka(problem) is not FailureKind.TRANSIENT:
                    raise KafkaUnavailable(settings.bootstrap_servers, f"{topic}: {describe(problem)}")
    except KafkaException as error:
        raise unavailable(error, settings) from error
    finally:
        reader.close()
    raise KafkaUnavailable(settings.bootstrap_servers, f"replay ledger {topic} not read in {timeout_s:g} s")


def _reader(settings: ClientSettings, topic: str) -> Source:
    # It joins no group and commits nothing; librdkafka asks for a group's name all the same.
    return new_consumer(
        settings,
        group_id=topic,
        isolation_level="read_committed",
        enable_partition_eof=True,
        # Reading from elsewhere than asked would miss lines.
        auto_offset_reset="error",
        fetch_min_bytes=1,
        log_level=2,
    )


def encode_line(landed: ProducedReplay) -> bytes:
    fields = {
        "replay_id": landed.replay_id,
        "topic": landed.topic,
        "partition": landed.partition,
        "offset": landed.offset,
    }
    return json.dumps(fields).encode()


def decode_line(record: Record) -> ProducedReplay | None:
    """None for what no replayer wrote."""
    try:
        fields = json.loads(record.value() or b"")
        return ProducedReplay(
            str(fields["replay_id"]), str(fields["topic"]), int(fields["partition"]), int(fields["offset"])
        )
    except (ValueError, TypeError, KeyError):
        return None
