"""Dead letters as the command prints them and the API's users script against."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict

from dlq.models import DeadLetter, DeadLetterEvent
from gdsconsole.text.content import text_or_base64


class LetterRow(TypedDict):
    """`key` is text, or `base64:…` where it isn't UTF-8, or null."""

    id: int
    state: str
    cause: str
    topic: str | None
    partition: int | None
    offset: int | None
    key: str | None
    error_type: str
    error: str
    attempts: int | None
    replay_count: int


class Header(TypedDict):
    name: str
    value: str | None


class HistoryRow(TypedDict):
    at: str
    action: str
    from_state: str | None
    to_state: str
    actor: str
    reason: str
    error: str
    same_cause: bool | None
    replay_id: str | None
    target: str | None


class LetterDetail(LetterRow):
    cause_label: str
    group: str | None
    timestamp: str | None
    timestamp_ms: int | None
    value: str | None
    value_size: int | None
    headers: list[Header]
    first_failed_at: str | None
    last_failed_at: str | None
    dlq_topic: str | None
    dlq_partition: int | None
    dlq_offset: int | None
    expires_at: str | None
    history: list[HistoryRow]


def letter_row(letter: DeadLetter) -> LetterRow:
    return LetterRow(
        id=letter.pk,
        state=letter.state,
        cause=letter.cause,
        topic=letter.topic,
        partition=letter.partition,
        offset=letter.offset,
        key=text_or_base64(_bytes(letter.key)),
        error_type=letter.error_type,
        error=letter.error,
        attempts=letter.attempts,
        replay_count=letter.replay_count,
    )


def letter_detail(letter: DeadLetter) -> LetterDetail:
    return LetterDetail(
        **letter_row(letter),
        cause_label=letter.cause_label,
        group=letter.group or None,
        timestamp=None if letter.timestamp is None else letter.timestamp.isoformat(timespec="milliseconds"),
        timestamp_ms=letter.written_ms,
        value=text_or_base64(_bytes(letter.value)),
        value_size=letter.value_size,
        headers=[Header(name=name, value=text_or_base64(value)) for name, value in letter.header_pairs()],
        first_failed_at=_moment(letter.first_failed_at),
        last_failed_at=_moment(letter.last_failed_at),
        dlq_topic=letter.dlq_topic,
        dlq_partition=letter.dlq_partition,
        dlq_offset=letter.dlq_offset,
        expires_at=_moment(letter.expires_at),
        history=[_history_row(event) for event in letter.events.order_by("pk")],
    )


def _history_row(event: DeadLetterEvent) -> HistoryRow:
    return HistoryRow(
        at=event.at.isoformat(),
        action=event.action,
        from_state=event.from_state,
        to_state=event.to_state,
        actor=event.actor,
        reason=event.reason,
        error=event.error,
        same_cause=event.same_cause,
        replay_id=str(event.replay_id) if event.replay_id else None,
        target=event.target or None,
    )


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _bytes(value: bytes | memoryview | None) -> bytes | None:
    return None if value is None else bytes(value)
