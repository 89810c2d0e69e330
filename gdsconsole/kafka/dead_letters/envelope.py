"""The dead letter record: the failed record as it was, and why it failed in `gds.dlq.*` headers.

Key, value and every header stay byte for byte what they were, null stays null. A JSON envelope with
the bytes in base64, as others write it, pushes a 900 kB record over the usual limit of 1 MB; headers
don't. The guide's own envelope is read as well.

Headers that begin with `gds.dlq.` are the console's. They are replaced, never added to, so a record
that fails again and again doesn't grow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeGuard

from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME

from gdsconsole.kafka.clients import Headers, Record
from gdsconsole.kafka.headers import headers_of
from gdsconsole.text.times import from_millis, without_leap_second

PREFIX = "gds.dlq."
TOPIC = "gds.dlq.topic"
TOPIC_ID = "gds.dlq.topic.id"
PARTITION = "gds.dlq.partition"
OFFSET = "gds.dlq.offset"
TIMESTAMP = "gds.dlq.timestamp"
TIMESTAMP_TYPE = "gds.dlq.timestamp.type"
GROUP = "gds.dlq.group"
# Where it failed: "decode" for a record that nobody can read, "step" for one that its group can't apply.
STAGE = "gds.dlq.stage"
ERROR = "gds.dlq.error"
ERROR_TYPE = "gds.dlq.error.type"
ATTEMPT = "gds.dlq.attempt"
FIRST_FAILURE = "gds.dlq.failure.first"
LAST_FAILURE = "gds.dlq.failure.last"
REPLAY_ID = "gds.dlq.replay.id"
REPLAY_COUNT = "gds.dlq.replay.count"
# The one group that a replay is for; without it, every group that reads the topic.
REPLAY_GROUP = "gds.dlq.replay.group"
# Kafka keeps null apart from empty; tools that show the two alike, or compaction, may not.
NULLS = "gds.dlq.null"

# An error may quote its record, and records may have megabytes.
MAX_ERROR_BYTES = 2048
MAX_ERROR_TYPE_BYTES = 200
MAX_REPLAY_ID_BYTES = 100
_TOPIC_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")  # Kafka's own rule

TimestampType = Literal["create", "log-append"]
Stage = Literal["decode", "step"]
_TIMESTAMP_TYPES: dict[int, TimestampType] = {
    TIMESTAMP_CREATE_TIME: "create",
    TIMESTAMP_LOG_APPEND_TIME: "log-append",
}


@dataclass(frozen=True, slots=True)
class DeadLetterContext:
    """Why a record is dead, as of this failure. `attempt` counts from 1; times are aware."""

    group: str
    error: str
    error_type: str
    attempt: int
    failed_at: datetime
    first_failed_at: datetime | None = None
    """When the record failed first; None: this is the first time, or the record's headers know."""
    topic_id: str | None = None
    """Tells the topic from a later one of its name, whose offsets begin at 0 again; None: not known."""
    stage: Stage = "step"


@dataclass(frozen=True, slots=True)
class EncodedDeadLetter:
    """What is produced to the dead letter topic, under the original's key."""

    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True)
class ReplayMark:
    """That a record was sent again from its dead letter: by which replay, for which time (from 1).

    `group` is the one that is to process it; None: every group that reads the topic.
    """

    replay_id: str
    count: int
    group: str | None = None


@dataclass(frozen=True, slots=True)
class DecodedDeadLetter:
    """A dead letter as read. What its envelope does not say is None.

    `form` is "headers" (the console's), "envelope" (the guide's JSON) or "raw": an envelope that can't
    be read, whose key, value and headers are the dead letter record's own; `problem` says why.
    """

    form: Literal["headers", "envelope", "raw"]
    key: bytes | None
    value: bytes | None
    headers: Headers
    topic: str | None = None
    topic_id: str | None = None
    partition: int | None = None
    offset: int | None = None
    timestamp: datetime | None = None
    timestamp_ms: int | None = None
    """As its header says it; `timestamp` is None where that is no date."""
    timestamp_type: TimestampType | None = None
    group: str | None = None
    stage: Stage | None = None
    error: str | None = None
    error_type: str | None = None
    attempt: int | None = None
    first_failed_at: datetime | None = None
    last_failed_at: datetime | None = None
    replay_id: str | None = None
    replay_count: int = 0
    problem: str | None = None


def encode(record: Record, context: DeadLetterContext) -> EncodedDeadLetter:
    """The dead letter of `record`. Its size is the record's and at most about 3 kB of headers."""
    carried = headers_of(record)
    earlier = _console_headers(carried)
    key, value = record.key(), record.value()
    known = (context.first_failed_at, _time(earlier.get(FIRST_FAILURE)), context.failed_at)
    first = min(moment for moment in known if moment is not None)
    kind, stamp = record.timestamp()
    added: list[tuple[str, str | None]] = [
        (TOPIC, record.topic()),
        (TOPIC_ID, context.topic_id),
        (PARTITION, str(record.partition())),
        (OFFSET, str(record.offset())),
        (TIMESTAMP, str(stamp) if kind in _TIMESTAMP_TYPES else None),
        (TIMESTAMP_TYPE, _TIMESTAMP_TYPES.get(kind)),
        (GROUP, context.group),
        (STAGE, context.stage),
        (ERROR, context.error),
        (ERROR_TYPE, _cut(context.error_type, MAX_ERROR_TYPE_BYTES)),
        (ATTEMPT, str(context.attempt)),
        (FIRST_FAILURE, _written(first)),
        (LAST_FAILURE, _written(context.failed_at)),
        (NULLS, ",".join(name for name, part in (("key", key), ("value", value)) if part is None) or None),
    ]
    mark = _mark(earlier)
    if mark is not None:
        added += [(REPLAY_ID, mark.replay_id), (REPLAY_COUNT, str(mark.count))]
    console = [(name, _cut(text, MAX_ERROR_BYTES).encode()) for name, text in added if text is not None]
    return EncodedDeadLetter(key, value, [*_own(carried), *console])


def decode(record: Record) -> DecodedDeadLetter:
    """Read a dead letter, whatever is in it; never raises."""
    return decode_parts(record.key(), record.value(), headers_of(record))


def decode_parts(key: bytes | None, value: bytes | None, headers: Headers) -> DecodedDeadLetter:
    """As `decode`, of a record that was never written."""
    console = _console_headers(headers)
    if console.keys() & {TOPIC, PARTITION, OFFSET}:
        return _from_headers(key, value, headers, console)
    return _from_envelope(key, value, headers)


def replay_headers(letter: DecodedDeadLetter, mark: ReplayMark) -> Headers:
    """The headers for sending a dead letter to its topic again.

    The original's, and what another failure must know: the replay, its count, the first failure.
    """
    added = [(REPLAY_ID, mark.replay_id.encode()), (REPLAY_COUNT, str(mark.count).encode())]
    if mark.group is not None:
        added.append((REPLAY_GROUP, mark.group.encode()))
    if letter.first_failed_at is not None:
        added.append((FIRST_FAILURE, _written(letter.first_failed_at).encode()))
    return [*_own(letter.headers), *added]


def replay_mark(record: Record) -> ReplayMark | None:
    """Which replay sent this record; None: it came from its own producer."""
    return _mark(_console_headers(headers_of(record)))


def is_for_another(record: Record, group: str) -> bool:
    """Whether the record is a replay for another group: this one has processed the original."""
    wanted = _console_headers(headers_of(record)).get(REPLAY_GROUP)
    return wanted is not None and wanted != group.encode()


def _from_headers(
    key: bytes | None, value: bytes | None, carried: Headers, console: dict[str, bytes | None]
) -> DecodedDeadLetter:
    topic, partition, offset = (
        _text(console.get(TOPIC)),
        _number(console.get(PARTITION)),
        _number(console.get(OFFSET)),
    )
    if not _is_topic(topic) or partition is None or offset is None:
        return _raw(key, value, carried, f"{TOPIC}, {PARTITION} or {OFFSET} is missing or malformed")
    nulls = (_text(console.get(NULLS)) or "").split(",")
    mark = _mark(console)
    stamp = _number(console.get(TIMESTAMP))
    return DecodedDeadLetter(
        form="headers",
        key=None if "key" in nulls else key,
        value=None if "value" in nulls else value,
        headers=_own(carried),
        topic=topic,
        topic_id=_text(console.get(TOPIC_ID)),
        partition=partition,
        offset=offset,
        timestamp=from_millis(stamp),
        timestamp_ms=stamp,
        timestamp_type=next(
            (kind for kind in _TIMESTAMP_TYPES.values() if _text(console.get(TIMESTAMP_TYPE)) == kind), None
        ),
        group=_text(console.get(GROUP)),
        stage=_stage(console.get(STAGE)),
        error=_text(console.get(ERROR)),
        error_type=_text(console.get(ERROR_TYPE)),
        attempt=_number(console.get(ATTEMPT)),
        first_failed_at=_time(console.get(FIRST_FAILURE)),
        last_failed_at=_time(console.get(LAST_FAILURE)),
        replay_id=mark.replay_id if mark else None,
        replay_count=mark.count if mark else 0,
    )


def _from_envelope(key: bytes | None, value: bytes | None, carried: Headers) -> DecodedDeadLetter:
    """The guide's `DLQHandler.send_to_dlq` form: one JSON object, the original as text inside."""
    if value is None:
        return _raw(key, value, carried, "neither gds.dlq headers nor a value")
    try:
        envelope = json.loads(value)
        original_key = _bytes(envelope["original_key"])
        original_value = _bytes(envelope["original_value"])
    except (ValueError, RecursionError):
        return _raw(key, value, carried, "neither gds.dlq headers nor a JSON envelope")
    except (KeyError, TypeError, IndexError):
        return _raw(key, value, carried, "a JSON value that is not a dead letter envelope")
    topic, partition, offset = (
        envelope.get("original_topic"),
        envelope.get("original_partition"),
        envelope.get("original_offset"),
    )
    if not (_is_topic(topic) and _is_count(partition) and _is_count(offset)):
        return _raw(
            key,
            value,
            carried,
            "original_topic, original_partition or original_offset is missing or malformed",
        )
    failed_at = _time((_str(envelope.get("timestamp")) or "").encode())
    attempt = envelope.get("attempt")
    return DecodedDeadLetter(
        form="envelope",
        key=original_key,
        value=original_value,
        headers=_own(carried),
        topic=topic,
        partition=partition,
        offset=offset,
        error=_str(envelope.get("error")),
        error_type=_str(envelope.get("error_type")),
        attempt=attempt if _is_count(attempt) else None,
        first_failed_at=failed_at,
        last_failed_at=failed_at,
    )


def _raw(key: bytes | None, value: bytes | None, carried: Headers, problem: str) -> DecodedDeadLetter:
    return DecodedDeadLetter(form="raw", key=key, value=value, headers=carried, problem=problem)


def _own(carried: Headers) -> Headers:
    return [(name, value) for name, value in carried if not name.startswith(PREFIX)]


def _console_headers(carried: Iterable[tuple[str, bytes | None]]) -> dict[str, bytes | None]:
    return {name: value for name, value in carried if name.startswith(PREFIX)}


def _mark(console: dict[str, bytes | None]) -> ReplayMark | None:
    replay_id, count = _text(console.get(REPLAY_ID)), _number(console.get(REPLAY_COUNT))
    if not replay_id:
        return None
    return ReplayMark(_cut(replay_id, MAX_REPLAY_ID_BYTES), count or 0, _text(console.get(REPLAY_GROUP)))


def _stage(value: bytes | None) -> Stage | None:
    known: dict[str | None, Stage] = {"decode": "decode", "step": "step"}
    return known.get(_text(value))


def _cut(text: str, limit: int) -> str:
    """Storable text of at most `limit` bytes of UTF-8, ending in … where something was cut."""
    encoded = _storable(text).encode()
    if len(encoded) <= limit:
        return encoded.decode()
    return encoded[: limit - 3].decode("utf-8", "ignore") + "…"


def _storable(text: str) -> str:
    """Without lone surrogates, which UTF-8 can't write, and NUL, which PostgreSQL can't store."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _text(value: bytes | None) -> str | None:
    return None if value is None else _storable(value.decode("utf-8", "replace"))


def _number(value: bytes | None) -> int | None:
    """A count in ASCII digits that fits Kafka's and the database's 64 bits."""
    if value is None or not value.isdigit() or len(value) > 19:
        return None
    number = int(value)
    return number if number < 2**63 else None


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _is_topic(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and _TOPIC_NAME.fullmatch(value) is not None


def _str(value: Any) -> str | None:
    if value is None:
        return None
    return _storable(value if isinstance(value, str) else json.dumps(value))


def _bytes(value: Any) -> bytes | None:
    """The envelope's text as bytes; what is not text, as JSON again."""
    if value is None:
        return None
    return (value if isinstance(value, str) else json.dumps(value)).encode("utf-8", "surrogatepass")


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _time(value: bytes | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(without_leap_second(_text(value) or ""))
        # The guide's envelope writes UTC, and some writers leave the zone out.
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
