"""What the pages show: queries and the sentences made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import Count
from django.db.models.functions import TruncHour

from dlq.models import (
    EVERY_GROUP,
    OPEN_STATES,
    Cause,
    DeadLetter,
    DeadLetterQuerySet,
    DeadLetterState,
    ReplayItem,
)
from gdsconsole.text import formats

TREND_HOURS = 24
CAUSES_SHOWN = 5
EXPIRY_WARNING = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class CauseRow:
    """One cause of the letters that wait. `trend` counts first failures by hour, the newest hour last."""

    cause: Cause
    share: float
    trend: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Choices:
    """What a list can be narrowed to."""

    topics: list[str]
    groups: list[str]
    error_types: list[str]


def cause_rows(letters: DeadLetterQuerySet, *, now: datetime) -> tuple[list[CauseRow], int]:
    """The causes with most letters, and how many causes there are."""
    found = _plain(letters).causes()
    shown = found[:CAUSES_SHOWN]
    total = sum(cause["letters"] for cause in found)
    trends = _trends(letters, [cause["cause"] for cause in shown], now=now)
    rows = [
        CauseRow(cause=cause, share=cause["letters"] / total, trend=trends[cause["cause"]]) for cause in shown
    ]
    return rows, len(found)


def choices() -> Choices:
    def of(field: str) -> list[str]:
        rows = DeadLetter.objects.order_by(field).values_list(field, flat=True).distinct()
        return [value for value in rows if value]

    return Choices(topics=of("topic"), groups=of("group"), error_types=of("error_type"))


def headline(
    counts: Mapping[str, int], causes: Sequence[CauseRow], cause_count: int, *, is_narrowed: bool = False
) -> str:
    """One sentence: is there anything to decide, and is it one thing or many? (pure)"""
    waiting = sum(counts[state] for state in OPEN_STATES)
    replaying = counts[DeadLetterState.REPLAYING]
    under_way = f" {replaying:,} {_are(replaying)} being replayed." if replaying else ""
    if not sum(counts.values()):
        return "No dead letter matches these filters." if is_narrowed else "No message has failed."
    if not waiting:
        return f"Nothing waits for a decision.{under_way}"
    begin = f"{waiting:,} {'waits' if waiting == 1 else 'wait'} for a decision"
    if waiting == 1:
        return f"{begin}.{under_way}"
    if cause_count == 1:
        return f"{begin}, all from one cause.{under_way}"
    most = causes[0].cause["letters"]
    return f"{begin}, {most:,} of them from one cause; {cause_count:,} causes in all.{under_way}"


def expires_soon(letter: DeadLetter, *, now: datetime) -> bool:
    """Whether the DLQ record of a letter that waits is about to be deleted, or is gone already."""
    return letter.is_open and letter.expires_at is not None and letter.expires_at - now < EXPIRY_WARNING


def headline_of(letter: DeadLetter) -> str:
    """What happened to it, in one line (pure)."""
    who = {EVERY_GROUP: "No group", "": "An unknown group"}.get(letter.group, letter.group)
    could, can = ("could", "can") if letter.group == EVERY_GROUP else ("could not", "can't")
    times = "" if letter.replay_count < 2 else f" {letter.replay_count} times"
    if letter.topic is None:
        return "Something in a dead letter topic that is no dead letter; kept as it was found."
    if letter.state == DeadLetterState.REPLAYED:
        return f"{who} {could} process it; it was replayed{times} and has not come back."
    if letter.state == DeadLetterState.DISCARDED:
        return f"{who} {could} process it, and it was discarded."
    if letter.state == DeadLetterState.REPLAYING:
        return f"{who} {could} process it; it is being replayed now."
    if letter.replay_count:
        return f"{who} {can} process it: it was replayed{times} and failed again."
    return f"{who} {could} process it. It waits for a decision."


def failed_again_title(replay: ReplayItem | None) -> str:
    return (
        "It failed again with the same error."
        if replay and replay.same_cause
        else "It failed again with another error."
    )


def failed_again_text(replay: ReplayItem | None) -> str:
    if replay is None:
        return ""
    return f"Replay {replay.number} landed at {replay.target}, and failed there again."


def replay_consequence(letter: DeadLetter) -> str:
    """What pressing the button does, in numbers (pure)."""
    size = "a tombstone" if letter.value_size is None else formats.byte_size(letter.value_size)
    place = f"{letter.topic}, partition {letter.partition},"
    times = f"It has been replayed {letter.replay_count} times." if letter.replay_count else ""
    readers = f"Only {letter.only_group} takes it" if letter.only_group else "Every consumer group takes it"
    return f"Sends this message ({size}) to {place} again, as it was. {readers}. {times}".strip()


def expiry_title(letter: DeadLetter, *, now: datetime) -> str:
    if letter.expires_at is None:
        return ""
    if letter.expires_at <= now:
        return f"Its record in {letter.dlq_topic} has passed its retention."
    return (
        f"Its record in {letter.dlq_topic} expires {formats.age((now - letter.expires_at).total_seconds())}."
    )


def _trends(
    letters: DeadLetterQuerySet, causes: Sequence[str], *, now: datetime
) -> dict[str, tuple[int, ...]]:
    newest = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    hours = [newest - timedelta(hours=back) for back in reversed(range(TREND_HOURS))]
    counted = (
        _plain(letters)
        .filter(cause__in=causes, first_failed_at__gte=hours[0])
        .annotate(hour=TruncHour("first_failed_at", tzinfo=UTC))
        .values_list("cause", "hour")
        .annotate(letters=Count("id"))
        .order_by()
    )
    by_hour = {(cause, hour): number for cause, hour, number in counted}
    return {cause: tuple(by_hour.get((cause, hour), 0) for hour in hours) for cause in causes}


def _plain(letters: DeadLetterQuerySet) -> DeadLetterQuerySet:
    """Without order and deferred fields, so that it can be grouped."""
    return letters.order_by().defer(None)


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
