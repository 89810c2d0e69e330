"""What `manage.py pipelines` does with halted partitions: shows them, and carries decisions to them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypedDict

from gdsconsole.kafka.errors import KafkaUnavailable
from gdsconsole.pipelines import services
from gdsconsole.pipelines.halts import services as halts
from gdsconsole.pipelines.halts import skipping
from gdsconsole.pipelines.halts.services import Decision
from gdsconsole.pipelines.halts.skipping import HaltedPartition
from gdsconsole.pipelines.models import PartitionHalt, Pipeline


class Consequence(TypedDict):
    """Of one partition. `waiting` is None where Kafka did not say; `to` and `skipped` are of a skip."""

    topic: str
    partition: int
    offset: int
    waiting: int | None
    to: int | None
    skipped: int | None
    gone: int | None


class Preview(TypedDict):
    name: str
    decision: str
    applied: bool
    skipped: int
    partitions: list[Consequence]


def listed(name: str) -> list[dict[str, Any]]:
    """The halted partitions of a pipeline, or of all, as JSON has them."""
    pipelines = [services.find(name)] if name else list(Pipeline.objects.all())
    found = halts.by_group(pipeline.group for pipeline in pipelines)
    return [
        {"name": pipeline.name, **halts.public(halts.as_row(row))}
        for pipeline in pipelines
        for row in found[pipeline.group]
    ]


def resume(*, name: str, partitions: Sequence[str], actor: str, now: datetime) -> None:
    """Let these partitions go on; the pipeline's others are left as they are."""
    pipeline, rows = _chosen(name, partitions)
    expected = {row.pk: row.offset for row in rows}
    halts.decide(pipeline=pipeline, decision=Decision.RESUME, expected=expected, actor=actor, now=now)


def dead_letter(
    *, name: str, partitions: Sequence[str], apply: bool, reason: str, actor: str, now: datetime
) -> Preview:
    """What `dead-letter` leads to, and does with `apply`."""
    pipeline, rows = _chosen(name, partitions)
    try:
        stands = skipping.stands(rows)
    except KafkaUnavailable:
        # The decision waits for Kafka as its consumer does; only the numbers are unknown.
        stands = [HaltedPartition(row, None, None) for row in rows]
    if apply:
        expected = {row.pk: row.offset for row in rows}
        halts.decide(
            pipeline=pipeline,
            decision=Decision.DEAD_LETTER,
            expected=expected,
            actor=actor,
            now=now,
            reason=reason,
        )
    consequences = [_consequence(one) for one in stands]
    return Preview(name=name, decision="dead-letter", applied=apply, skipped=0, partitions=consequences)


def skip(
    *, name: str, partitions: Sequence[str], to: str, apply: bool, reason: str, actor: str, now: datetime
) -> Preview:
    """What `skip` leads to, and does with `apply`. Raises `KafkaUnavailable`."""
    wanted = skipping.target(to)
    pipeline, rows = _chosen(name, partitions)
    stands = skipping.stands(rows)
    plan = skipping.preview(wanted, stands)
    if apply:
        halts.decide(
            pipeline=pipeline,
            decision=Decision.SKIP,
            expected={one.halt.pk: one.halt.offset for one in plan},
            skips={one.halt.pk: one.to for one in plan},
            actor=actor,
            now=now,
            reason=reason,
        )
    waiting = {one.halt.pk: one for one in stands}
    return Preview(
        name=name,
        decision="skip",
        applied=apply,
        skipped=sum(one.skipped for one in plan),
        partitions=[
            Consequence(
                topic=one.halt.topic,
                partition=one.halt.partition,
                offset=one.halt.offset,
                waiting=waiting[one.halt.pk].waiting,
                to=one.to,
                skipped=one.skipped,
                gone=one.gone,
            )
            for one in plan
        ],
    )


def told(preview: Preview) -> list[str]:
    """The preview, or the deed, as lines for people."""
    lines = []
    for one in preview["partitions"]:
        waiting = "unknown" if one["waiting"] is None else f"{one['waiting']:,}"
        place = f"{one['topic']}-{one['partition']} at offset {one['offset']}"
        if one["to"] is None:
            lines.append(f"  {place}: {waiting} wait, of which those that fail become dead letters")
        else:
            gone = f", {one['gone']:,} more are deleted already" if one["gone"] else ""
            lines.append(f"  {place}: goes on at {one['to']}, {one['skipped']:,} of {waiting} skipped{gone}")
    if preview["decision"] == "skip":
        lines.append(f"{preview['skipped']:,} records are never processed by {preview['name']}")
    if not preview["applied"]:
        lines.append("nothing is changed; with --apply it is")
    return lines


def _chosen(name: str, partitions: Sequence[str]) -> tuple[Pipeline, list[PartitionHalt]]:
    pipeline = services.find(name)
    return pipeline, halts.chosen(pipeline, partitions)


def _consequence(one: HaltedPartition) -> Consequence:
    halt = one.halt
    return Consequence(
        topic=halt.topic,
        partition=halt.partition,
        offset=halt.offset,
        waiting=one.waiting,
        to=None,
        skipped=None,
        gone=None,
    )
