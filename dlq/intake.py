"""A decoded dead letter as a row (pure). Whatever was in the record, the row can be stored."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from dlq.causes import cause_of
from dlq.models import EVERY_GROUP, TOPIC_ID_LENGTH, DeadLetter, Envelope, pack_headers
from gdsconsole.kafka.dead_letters.envelope import DecodedDeadLetter

UNREADABLE_ERROR_TYPE = "UnreadableEnvelope"
# Anyone may write to a dead letter topic; a name that Kafka can't have had is no coordinate.
_TOPIC_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")
_MAX_INT = 2**31 - 1
_MAX_ERROR_LENGTH = 10_000


@dataclass(frozen=True, slots=True)
class DlqPlace:
    """Where the dead letter's own record is, and until when its topic's retention keeps it."""

    topic: str
    topic_id: str
    partition: int
    offset: int
    retention_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """One dead letter on its way into the database.

    `place` is None for one the broker refused, which was parked. `arrived_at` is the time of its DLQ
    record, or of its parking.
    """

    letter: DecodedDeadLetter
    cluster_id: str
    place: DlqPlace | None
    arrived_at: datetime
    refusal: str = ""

    @property
    def replay_id(self) -> uuid.UUID | None:
        """The replay that the failed record was sent by."""
        try:
            return uuid.UUID(self.letter.replay_id or "")
        except ValueError:
            return None


def row_of(arrival: Arrival) -> DeadLetter:
    """An unsaved row; the same arrival gives the same row."""
    letter, place = arrival.letter, arrival.place
    readable = letter.form != "raw" and has_origin(letter)
    topic = letter.topic if readable else None
    error_type, error = error_of(arrival)
    cause = cause_of(error_type=error_type, message=letter.error or error, topic=topic)
    last = letter.last_failed_at or arrival.arrived_at
    row = DeadLetter(
        cluster_id=arrival.cluster_id,
        topic=topic,
        topic_id=_text(letter.topic_id, TOPIC_ID_LENGTH) if readable else "",
        partition=letter.partition if readable else None,
        offset=letter.offset if readable else None,
        group=EVERY_GROUP if letter.stage == "decode" else _text(letter.group, 255),
        timestamp=letter.timestamp,
        timestamp_ms=letter.timestamp_ms,
        key=letter.key,
        value=letter.value,
        value_size=None if letter.value is None else len(letter.value),
        headers=pack_headers(letter.headers),
        error=error,
        error_type=error_type,
        cause=cause.fingerprint,
        cause_label=cause.label,
        attempts=letter.attempt if letter.attempt is not None and letter.attempt <= _MAX_INT else None,
        first_failed_at=min(letter.first_failed_at or last, last),
        last_failed_at=last,
        envelope=_envelope(letter, place) if readable or place is None else Envelope.UNREADABLE,
    )
    if place is not None:
        row.dlq_topic = place.topic
        row.dlq_topic_id = place.topic_id
        row.dlq_partition = place.partition
        row.dlq_offset = place.offset
        if place.retention_ms is not None and place.retention_ms >= 0:
            row.expires_at = _later(arrival.arrived_at, place.retention_ms)
    return row


def identity_of(row: DeadLetter) -> tuple[object, ...]:
    """What the unique constraints of `DeadLetter` compare."""
    if row.topic is None:
        return (row.cluster_id, row.dlq_topic, row.dlq_topic_id, row.dlq_partition, row.dlq_offset)
    return (row.cluster_id, row.topic, row.topic_id, row.partition, row.offset, row.group)


def has_origin(letter: DecodedDeadLetter) -> bool:
    """Whether the envelope's coordinates can be those of a Kafka record."""
    return (
        letter.topic is not None
        and letter.partition is not None
        and letter.offset is not None
        and _TOPIC_NAME.fullmatch(letter.topic) is not None
        and letter.partition <= _MAX_INT
    )


def error_of(arrival: Arrival) -> tuple[str, str]:
    """(error type, error), as stored and shown."""
    letter = arrival.letter
    if letter.form == "raw" or not has_origin(letter):
        problem = letter.problem or f"topic {letter.topic!r} is not a Kafka topic name"
        return UNREADABLE_ERROR_TYPE, _text(f"not a dead letter envelope: {problem}", _MAX_ERROR_LENGTH)
    error = _text(letter.error, _MAX_ERROR_LENGTH)
    if arrival.refusal:
        error = f"{error}\nIts dead letter was refused too: {_text(arrival.refusal, 500)}".strip()
    return _text(letter.error_type, 200), error


def _envelope(letter: DecodedDeadLetter, place: DlqPlace | None) -> Envelope:
    if place is None:
        return Envelope.PARKED
    return Envelope.JSON if letter.form == "envelope" else Envelope.HEADERS


def _later(moment: datetime, milliseconds: int) -> datetime | None:
    """None for a retention so long that no calendar has its end."""
    try:
        return moment + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None


def _text(text: str | None, limit: int) -> str:
    """Fit for a column: PostgreSQL stores no NUL, and lone surrogates have no encoding."""
    cleaned = (text or "").replace("\0", "\N{REPLACEMENT CHARACTER}")
    cleaned = cleaned.encode("utf-8", "replace").decode()
    return cleaned if len(cleaned) <= limit else cleaned[: limit - 1] + "…"
