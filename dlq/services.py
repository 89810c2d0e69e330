"""What a reviewer can ask for: replay and discard. Each is one transaction, by compare-and-set.

Sending is not done here: a run is rows, and a worker's replayer makes it so (`dlq.replayer`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.urls import reverse

from dlq.decisions import LetterFacts, why_not_discard, why_not_replay
from dlq.live_summary import publish_summary
from dlq.models import (
    OPEN_STATES,
    DeadLetter,
    DeadLetterAction,
    DeadLetterEvent,
    DeadLetterState,
    ReplayItem,
    ReplayRun,
)
from gdsconsole.audit import services as audit
from gdsconsole.web import links

MAX_SELECTION = 10_000
_CHUNK = 500
_DECIDED = {"replay": DeadLetterState.REPLAYING, "discard": DeadLetterState.DISCARDED}


class NothingDone(Exception):
    """The request changed nothing; the message says why, for each letter it named."""

    def __init__(self, message: str, refusals: Sequence[Refusal] = ()) -> None:
        super().__init__(message)
        self.refusals = tuple(refusals)


@dataclass(frozen=True, slots=True)
class Refusal:
    """One letter that is left as it is, and the sentence that says why ("is already being replayed…")."""

    dead_letter_id: int
    reason: str

    def __str__(self) -> str:
        return f"dead letter {self.dead_letter_id} {self.reason}"


@dataclass(frozen=True, slots=True)
class Plan:
    """A frozen selection: the letters that would be decided about, and those that wouldn't."""

    ids: tuple[int, ...]
    refusals: tuple[Refusal, ...]
    topics: tuple[tuple[str, int], ...]
    """(topic, letters of it), the most first."""


@dataclass(frozen=True, slots=True)
class StartedReplay:
    run: ReplayRun
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class DiscardResult:
    ids: tuple[int, ...]
    refusals: tuple[Refusal, ...]


def plan_replay(*, ids: Sequence[int], over_limit: bool = False) -> Plan:
    """What a replay of these letters would do; changes nothing."""
    letters = _rows(ids, lock=False)
    return _plan(letters, _missing(ids, letters) + _replay_refusals(letters, over_limit=over_limit))


def plan_discard(*, ids: Sequence[int]) -> Plan:
    """What discarding these letters would do; changes nothing."""
    letters = _rows(ids, lock=False)
    return _plan(letters, _missing(ids, letters) + _discard_refusals(letters))


@transaction.atomic
def start_replay(
    *, ids: Sequence[int], actor: str, now: datetime, reason: str = "", over_limit: bool = False
) -> StartedReplay:
    """Claim these letters, and no others, for one run. The caller enqueues `dlq.replay` on commit.

    Letters that may not be replayed are left alone and told of. Raises `NothingDone` when that is all of
    them, so a second click changes nothing; `ValueError` for an override without a reason.
    """
    reason = reason.strip()
    if over_limit and not reason:
        raise ValueError("reason: replaying past the limit needs a reason")
    letters = _rows(ids, lock=True)
    refusals = _missing(ids, letters) + _replay_refusals(letters, over_limit=over_limit)
    refused = {refusal.dead_letter_id for refusal in refusals}
    accepted = [letter for letter in letters if letter.pk not in refused]
    if not accepted:
        raise NothingDone(_because(refusals, "replayed"), refusals)
    run = ReplayRun.objects.create(
        actor=actor, reason=reason[:500], over_limit=over_limit, total=len(accepted), created_at=now
    )
    items = ReplayItem.objects.bulk_create(
        [
            ReplayItem(
                run=run, dead_letter=letter, number=letter.replay_count + 1, target_topic=letter.topic or ""
            )
            for letter in accepted
        ],
        batch_size=_CHUNK,
    )
    replay_ids = {item.dead_letter_id: item.replay_id for item in items}
    events = [
        DeadLetterEvent(
            dead_letter=letter,
            action=DeadLetterAction.REPLAY_REQUESTED,
            from_state=letter.state,
            to_state=DeadLetterState.REPLAYING,
            actor=actor,
            reason=run.reason,
            replay_id=replay_ids[letter.pk],
            at=now,
        )
        for letter in accepted
    ]
    _claim(accepted, DeadLetterState.REPLAYING, events)
    _record(
        "replay",
        f"asked for replay {run.pk} of {_named(accepted)}",
        accepted,
        actor=actor,
        now=now,
        target=f"replay {run.pk}",
        target_url=reverse("dlq:run", args=[run.pk]),
        reason=run.reason,
    )
    return StartedReplay(run=run, refusals=tuple(refusals))


@transaction.atomic
def discard(*, ids: Sequence[int], actor: str, reason: str, now: datetime) -> DiscardResult:
    """Put these letters away for good, with a reason.

    Raises `ValueError` without one, `NothingDone` when none of them may be discarded.
    """
    reason = reason.strip()
    if not reason:
        raise ValueError("reason: discarding needs a reason")
    letters = _rows(ids, lock=True)
    refusals = _missing(ids, letters) + _discard_refusals(letters)
    refused = {refusal.dead_letter_id for refusal in refusals}
    accepted = [letter for letter in letters if letter.pk not in refused]
    if not accepted:
        raise NothingDone(_because(refusals, "discarded"), refusals)
    events = [
        DeadLetterEvent(
            dead_letter=letter,
            action=DeadLetterAction.DISCARDED,
            from_state=letter.state,
            to_state=DeadLetterState.DISCARDED,
            actor=actor,
            reason=reason[:500],
            at=now,
        )
        for letter in accepted
    ]
    _claim(accepted, DeadLetterState.DISCARDED, events)
    first = accepted[0].pk
    _record(
        "discard",
        f"discarded {_named(accepted)}",
        accepted,
        actor=actor,
        now=now,
        target=f"dead letter {first}" if len(accepted) == 1 else "dead letters",
        target_url=reverse("dlq:letter", args=[first])
        if len(accepted) == 1
        else links.dead_letters(state="discarded"),
        reason=reason,
    )
    return DiscardResult(ids=tuple(letter.pk for letter in accepted), refusals=tuple(refusals))


def replay_refusal(letter: DeadLetter) -> str | None:
    """Why this letter can't be replayed just now, for its page; None if it can."""
    return why_not_replay(_facts(letter, _newest_decisions([letter])))


def discard_refusal(letter: DeadLetter) -> str | None:
    """Why this letter can't be discarded just now; None if it can."""
    return why_not_discard(_facts(letter, _newest_decisions([letter])))


def _plan(letters: Sequence[DeadLetter], refusals: Sequence[Refusal]) -> Plan:
    refused = {refusal.dead_letter_id for refusal in refusals}
    accepted = [letter for letter in letters if letter.pk not in refused]
    by_topic = Counter(letter.topic or "unknown" for letter in accepted)
    return Plan(
        ids=tuple(letter.pk for letter in accepted),
        refusals=tuple(refusals),
        topics=tuple(sorted(by_topic.items(), key=lambda pair: (-pair[1], pair[0]))),
    )


def _replay_refusals(letters: Sequence[DeadLetter], *, over_limit: bool) -> list[Refusal]:
    newest = _newest_decisions(letters)
    judged = (
        (letter.pk, why_not_replay(_facts(letter, newest), over_limit=over_limit)) for letter in letters
    )
    return [Refusal(pk, why) for pk, why in judged if why is not None]


def _discard_refusals(letters: Sequence[DeadLetter]) -> list[Refusal]:
    newest = _newest_decisions(letters)
    judged = ((letter.pk, why_not_discard(_facts(letter, newest))) for letter in letters)
    return [Refusal(pk, why) for pk, why in judged if why is not None]


def _claim(letters: Sequence[DeadLetter], to_state: DeadLetterState, events: list[DeadLetterEvent]) -> None:
    """Move locked letters, all of them or, by the rollback, none."""
    moved = 0
    for chunk in _chunks([letter.pk for letter in letters]):
        moved += DeadLetter.objects.filter(pk__in=chunk, state__in=OPEN_STATES).update(state=to_state)
    if moved != len(letters):
        raise NothingDone("someone else decided about these dead letters just now; nothing was changed")
    DeadLetterEvent.objects.bulk_create(events, batch_size=_CHUNK)
    publish_summary()


def _named(letters: Sequence[DeadLetter]) -> str:
    return f"dead letter {letters[0].pk}" if len(letters) == 1 else f"{len(letters):,} dead letters"


def _record(verb: str, sentence: str, letters: Sequence[DeadLetter], **fields: Any) -> None:
    """One audit entry for the request, with the state that each letter was in."""
    audit.record(
        action=f"dead-letter.{verb}",
        sentence=sentence,
        changes={f"dead letter {letter.pk}": (letter.state, _DECIDED[verb]) for letter in letters},
        **fields,
    )


def _rows(ids: Sequence[int], *, lock: bool) -> list[DeadLetter]:
    """The letters with these ids; locked where the database locks rows, SQLite locks itself whole."""
    wanted = sorted(set(ids))
    if not wanted:
        raise NothingDone("no dead letter was chosen")
    if len(wanted) > MAX_SELECTION:
        raise NothingDone(f"{len(wanted):,} dead letters are more than one request takes ({MAX_SELECTION:,})")
    rows: list[DeadLetter] = []
    for chunk in _chunks(wanted):
        query = DeadLetter.objects.without_payload().filter(pk__in=chunk).order_by("pk")
        rows += query.select_for_update() if lock else query
    return rows


def _missing(ids: Sequence[int], letters: Iterable[DeadLetter]) -> list[Refusal]:
    known = {letter.pk for letter in letters}
    return [Refusal(number, "does not exist") for number in sorted(set(ids) - known)]


def _newest_decisions(letters: Iterable[DeadLetter]) -> dict[int, DeadLetterEvent]:
    """The last event that moved each closed letter to the state it is in."""
    closed = [letter.pk for letter in letters if not letter.is_open]
    newest: dict[int, DeadLetterEvent] = {}
    for chunk in _chunks(closed):
        for event in DeadLetterEvent.objects.filter(dead_letter_id__in=chunk).order_by("pk"):
            if event.action != DeadLetterAction.FAILED_AGAIN:
                newest[event.dead_letter_id] = event
    return newest


def _facts(letter: DeadLetter, newest: dict[int, DeadLetterEvent]) -> LetterFacts:
    event = newest.get(letter.pk)
    return LetterFacts(
        state=letter.state,
        topic=letter.topic,
        replay_count=letter.replay_count,
        last_actor=event.actor if event else None,
        last_at=event.at if event else None,
        last_target=(event.target or None) if event else None,
    )


def _because(refusals: Sequence[Refusal], done: str) -> str:
    if len(refusals) == 1:
        return str(refusals[0])
    shown = "; ".join(map(str, refusals[:3]))
    more = f"; and {len(refusals) - 3} more" if len(refusals) > 3 else ""
    return f"none of {len(refusals)} dead letters was {done}: {shown}{more}"


def _chunks(ids: Sequence[int]) -> Iterable[Sequence[int]]:
    return (ids[start : start + _CHUNK] for start in range(0, len(ids), _CHUNK))
