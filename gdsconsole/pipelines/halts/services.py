"""Halted partitions as people see them, and what they decide of them.

A decision is a row's field, written by compare-and-set on where the partition stands, with its audit entry.
The consumer that holds the partition carries it out within seconds, or when there is one again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict

from django.db import transaction

from gdsconsole.audit import services as audit
from gdsconsole.pipelines.models import PartitionHalt, Pipeline
from gdsconsole.web import links

Decision = PartitionHalt.Decision
# More partitions than this are a number.
NAMED = 16


class HaltsMoved(Exception):
    """A partition isn't as it was when this was decided: look again. The message names it."""


class NotHalted(LookupError):
    """No partition of the pipeline is halted, or not this one; the message says which are."""


class HaltRow(TypedDict):
    """`decision` is "" while the partition waits for one; it is carried out within seconds."""

    topic: str
    partition: int
    offset: int
    reason: str
    since: datetime
    decision: str
    skip_to: int | None
    decided_by: str


def by_group(groups: Iterable[str]) -> dict[str, list[PartitionHalt]]:
    """The halted partitions of each group, in order."""
    found: dict[str, list[PartitionHalt]] = {group: [] for group in groups}
    for row in PartitionHalt.objects.filter(group__in=list(found)):
        found[row.group].append(row)
    return found


def as_row(halt: PartitionHalt) -> HaltRow:
    return HaltRow(
        topic=halt.topic,
        partition=halt.partition,
        offset=halt.offset,
        reason=halt.reason,
        since=halt.halted_at,
        decision=halt.decision,
        skip_to=halt.skip_to,
        decided_by=halt.decided_by,
    )


def public(row: HaltRow) -> dict[str, Any]:
    """As JSON has it."""
    return {**row, "since": row["since"].isoformat()}


def chosen(pipeline: Pipeline, partitions: Sequence[str]) -> list[PartitionHalt]:
    """The halted partitions that are named, by number or as `topic-number`; all without a name.

    Raises `NotHalted`.
    """
    rows = by_group([pipeline.group])[pipeline.group]
    names = {one for row in rows for one in (row.place, str(row.partition))}
    missing = [one for one in partitions if one not in names]
    if not rows:
        raise NotHalted(f"no partition of {pipeline.name} is halted")
    if missing:
        are = ", ".join(row.place for row in rows)
        raise NotHalted(f"partition {missing[0]} of {pipeline.name} is not halted; halted: {are}")
    wanted = set(partitions)
    return [row for row in rows if not wanted or wanted & {row.place, str(row.partition)}]


def standing(rows: Iterable[PartitionHalt]) -> list[PartitionHalt]:
    """Those that wait for a decision."""
    return [row for row in rows if not row.decision]


def told(rows: Sequence[PartitionHalt]) -> str:
    """In a line: which partitions stand, where, and why. Pure.

    One line for each reason would be twelve: of several, the first one's is told.
    """
    first, topics = rows[0], sorted({row.topic for row in rows})
    if len(rows) == 1:
        return f"partition {first.partition} of {first.topic} at offset {first.offset}: {first.reason}"
    named = ", ".join(str(row.partition) if len(topics) == 1 else row.place for row in rows[:NAMED])
    more = f" and {len(rows) - NAMED} more" if len(rows) > NAMED else ""
    of = f" of {topics[0]}" if len(topics) == 1 else ""
    at = f"{first.partition if of else first.place} at offset {first.offset}"
    return f"partitions {named}{more}{of}; {at}: {first.reason}"


def decide(
    *,
    pipeline: Pipeline,
    decision: PartitionHalt.Decision,
    expected: Mapping[int, int],
    skips: Mapping[int, int] | None = None,
    actor: str,
    now: datetime,
    reason: str = "",
) -> list[PartitionHalt]:
    """Write down what is to become of these partitions: by id, the offset each was seen to stand at.

    `skips` is where each is to go on, for a skip. What is decided so already stays; a partition that
    dead-letters what fails may be told to resume, which arms its breaker. Raises `HaltsMoved`, having
    changed nothing.
    """
    with transaction.atomic():
        rows = PartitionHalt.objects.select_for_update().filter(pk__in=list(expected), group=pipeline.group)
        by_id = {row.pk: row for row in rows}
        for key, offset in expected.items():
            if key not in by_id:
                raise HaltsMoved(
                    f"{pipeline.name}: a partition that stood at offset {offset} is halted no more"
                )
            if by_id[key].offset != offset:
                row = by_id[key]
                raise HaltsMoved(f"{pipeline.name}: {row.place} stands at offset {row.offset}, not {offset}")
        changed = [row for row in by_id.values() if _is_new(row, decision, skips[row.pk] if skips else None)]
        for row in changed:
            row.decision = decision
            row.skip_to = skips[row.pk] if skips else None
            row.decided_by, row.decided_at = actor[:160], now
            row.save(update_fields=["decision", "skip_to", "decided_by", "decided_at"])
        _record(pipeline, decision, changed, actor, now, reason)
        return list(by_id.values())


def resume_all(*, pipeline: Pipeline, actor: str, now: datetime) -> list[PartitionHalt]:
    """Let every halted partition go on where it stands, and arm the breakers that were disarmed."""
    rows = by_group([pipeline.group])[pipeline.group]
    expected = {row.pk: row.offset for row in rows if row.decision in ("", Decision.DEAD_LETTER)}
    if not expected:
        return []
    return decide(pipeline=pipeline, decision=Decision.RESUME, expected=expected, actor=actor, now=now)


def _is_new(row: PartitionHalt, decision: PartitionHalt.Decision, skip_to: int | None) -> bool:
    """Whether the decision changes the row; raises `HaltsMoved` where another one is being carried out."""
    if not row.decision:
        return True
    if row.decision == decision and row.skip_to == skip_to:
        return False
    if row.decision == Decision.DEAD_LETTER and decision == Decision.RESUME:
        return True
    raise HaltsMoved(
        f"{row.place}: {row.decided_by} decided already: {row.decision}; it is being carried out"
    )


def _record(
    pipeline: Pipeline,
    decision: PartitionHalt.Decision,
    rows: Sequence[PartitionHalt],
    actor: str,
    now: datetime,
    reason: str,
) -> None:
    """The audit of it. What is skipped is written whole, an entry a partition: nothing else tells of it."""
    if not rows:
        return
    places = ", ".join(f"{row.place} at {row.offset}" for row in rows)
    sentences = {
        Decision.RESUME: [f"resumed pipeline {pipeline.name}, which had halted: {places}"],
        Decision.DEAD_LETTER: [
            f"let pipeline {pipeline.name} dead-letter what fails until it is good again: {places}"
        ],
        Decision.SKIP: [_skipped(pipeline.name, row) for row in rows],
    }
    for sentence in sentences[decision]:
        audit.record(
            actor=actor,
            action=f"pipeline.{decision.value}",
            sentence=sentence,
            now=now,
            target=pipeline.name,
            target_url=links.pipelines(pipeline.name),
            reason=reason,
        )


def _skipped(name: str, row: PartitionHalt) -> str:
    to = row.skip_to if row.skip_to is not None else row.offset
    many = f"{to - row.offset:,} record{'' if to - row.offset == 1 else 's'}"
    return f"let pipeline {name} skip {many} of {row.place}: from offset {row.offset} to {to - 1}"
