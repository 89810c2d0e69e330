"""Outcomes of replays, written by compare-and-set with their history in one transaction.

The replayer calls this with what Kafka acknowledged, the index pipeline with what came back. The two
run in different processes and either may be first, so each settles only what is not settled yet.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Count, Q

from dlq.models import (
    DeadLetter,
    DeadLetterAction,
    DeadLetterEvent,
    DeadLetterState,
    ReplayItem,
    ReplayItemState,
    ReplayRun,
    ReplayRunState,
)


@dataclass(frozen=True, slots=True)
class ReplayProduced:
    """A replay that is in its topic for good, and where."""

    replay_id: uuid.UUID
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class ReplayRejected:
    """A replay that will not be written, and why."""

    replay_id: uuid.UUID
    error: str


@transaction.atomic
def record_written(outcomes: Sequence[ReplayProduced], *, now: datetime) -> int:
    """Settle these replays as replayed; returns how many were not settled before."""
    found = {outcome.replay_id: outcome for outcome in outcomes}
    # A failed item is settled too: if Kafka has the record, the judgement that it hasn't was stale.
    items = [
        item for item in _locked(found) if item.state in (ReplayItemState.QUEUED, ReplayItemState.FAILED)
    ]
    # The letter is where its item's state says it is, or someone has decided about it since.
    before = {
        item.pk: DeadLetterState.FAILED if item.state == ReplayItemState.FAILED else DeadLetterState.REPLAYING
        for item in items
    }
    for item in items:
        outcome = found[item.replay_id]
        item.state = ReplayItemState.REPLAYED
        item.target_partition, item.target_offset = outcome.partition, outcome.offset
        item.error, item.settled_at = "", now
    fields = ["state", "target_partition", "target_offset", "error", "settled_at"]
    ReplayItem.objects.bulk_update(items, fields, batch_size=200)
    for item in items:
        _move(
            item,
            before=before[item.pk],
            event=DeadLetterEvent(
                action=DeadLetterAction.REPLAYED, to_state=DeadLetterState.REPLAYED, target=item.target or ""
            ),
            now=now,
        )
    _count({item.run_id for item in items}, now=now)
    return len(items)


@transaction.atomic
def record_unwritten(outcomes: Sequence[ReplayRejected], *, now: datetime) -> int:
    """Settle these replays as failed; returns how many were not settled before."""
    found = {outcome.replay_id: outcome for outcome in outcomes}
    items = [item for item in _locked(found) if item.state == ReplayItemState.QUEUED]
    for item in items:
        item.state = ReplayItemState.FAILED
        item.error, item.settled_at = found[item.replay_id].error, now
    ReplayItem.objects.bulk_update(items, ["state", "error", "settled_at"], batch_size=200)
    for item in items:
        _move(
            item,
            before=DeadLetterState.REPLAYING,
            event=DeadLetterEvent(
                action=DeadLetterAction.REPLAY_FAILED, to_state=DeadLetterState.FAILED, error=item.error
            ),
            now=now,
        )
    _count({item.run_id for item in items}, now=now)
    return len(items)


@transaction.atomic
def record_return(item: ReplayItem, failure: DeadLetter, *, now: datetime) -> bool:
    """A replayed record failed again, as `failure` (an unsaved row) tells. False: that was known.

    It is the same message, so it stays the same row: the letter that was replayed is failed again, with
    its newest error. Several groups may say so of one replay that none of them can read.
    """
    if failure.partition is None or failure.offset is None:
        raise ValueError("a record without coordinates is nobody's replay")
    # That it failed again proves that it was written; the replayer may not have said so yet.
    record_written([ReplayProduced(item.replay_id, failure.partition, failure.offset)], now=now)
    known = DeadLetterEvent.objects.filter(
        dead_letter_id=item.dead_letter_id, replay_id=item.replay_id, action=DeadLetterAction.FAILED_AGAIN
    )
    if known.exists():
        return False
    letter = DeadLetter.objects.without_payload().select_for_update().get(pk=item.dead_letter_id)
    same_cause = letter.cause == failure.cause
    ReplayItem.objects.filter(pk=item.pk).update(failed_again_at=now, same_cause=same_cause)
    before = letter.state
    # Only its newest replay says what state a letter is in, and only if nobody decided since.
    if letter.replay_count == item.number and before == DeadLetterState.REPLAYED:
        letter.state = DeadLetterState.FAILED
    if letter.replay_count == item.number:
        _take_failure(letter, failure)
    DeadLetterEvent.objects.create(
        dead_letter=letter,
        action=DeadLetterAction.FAILED_AGAIN,
        from_state=before,
        to_state=letter.state,
        actor=failure.group,
        error=failure.error,
        error_type=failure.error_type,
        same_cause=same_cause,
        replay_id=item.replay_id,
        at=now,
    )
    return True


def _take_failure(letter: DeadLetter, failure: DeadLetter) -> None:
    fields = ["error", "error_type", "cause", "cause_label", "attempts", "last_failed_at", "expires_at"]
    fields += ["dlq_topic", "dlq_topic_id", "dlq_partition", "dlq_offset"]
    for field in fields:
        setattr(letter, field, getattr(failure, field))
    letter.save(update_fields=["state", *fields])


def _locked(replay_ids: Iterable[uuid.UUID]) -> list[ReplayItem]:
    """In the order of their ids, so that two settling processes can't wait for each other."""
    return list(
        ReplayItem.objects.select_for_update(of=("self",))
        .select_related("run")
        .filter(replay_id__in=list(replay_ids))
        .order_by("pk")
    )


def _move(item: ReplayItem, *, before: DeadLetterState, event: DeadLetterEvent, now: datetime) -> None:
    """Move the item's letter to the event's state, if it is where it should be, and tell of it."""
    claimed = DeadLetter.objects.filter(pk=item.dead_letter_id, state=before)
    if event.action == DeadLetterAction.REPLAYED:
        moved = claimed.update(state=event.to_state, replay_count=item.number)
    else:
        moved = claimed.update(state=event.to_state)
    if moved:
        event.dead_letter_id = item.dead_letter_id
        event.from_state = before
        event.actor, event.reason = item.run.actor, item.run.reason
        event.replay_id, event.at = item.replay_id, now
        event.save(force_insert=True)


def _count(run_ids: Iterable[int], *, now: datetime) -> None:
    """Bring the runs' counts up to their items, and finish those that are done."""
    for run in ReplayRun.objects.filter(pk__in=list(run_ids)).annotate(
        done=Count("items", filter=Q(items__state=ReplayItemState.REPLAYED)),
        undone=Count("items", filter=Q(items__state=ReplayItemState.FAILED)),
    ):
        finished = run.done + run.undone == run.total
        ReplayRun.objects.filter(pk=run.pk).update(
            replayed=run.done,
            failed=run.undone,
            state=ReplayRunState.FINISHED if finished else run.state,
            finished_at=now if finished else None,
            waiting_for="" if finished else run.waiting_for,
        )
