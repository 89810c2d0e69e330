"""What people and the reconciler do to pipelines, and how they are listed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypedDict

from django.db import transaction
from django.db.models import QuerySet

from gdsconsole.audit import services as audit
from gdsconsole.live.snapshots import latest
from gdsconsole.pipelines import capacity
from gdsconsole.pipelines.halts import services as halts
from gdsconsole.pipelines.halts.services import HaltRow
from gdsconsole.pipelines.leases import has_lapsed
from gdsconsole.pipelines.models import PartitionHalt, Pipeline, PipelineConsumer
from gdsconsole.web import links

MAX_CONSUMERS = 64
MAX_REASON = 2_000
# Of a consumer whose lease ran out while it lives.
WAITS_FOR_DATABASE = "waits for the database, which takes no writes"


class UnknownPipeline(LookupError):
    """There is no pipeline of this name; the message lists those there are."""


class WrongConsumers(ValueError):
    """A number of consumers that can't be run."""


class ConsumerRow(TypedDict):
    slot: int
    host: str | None
    pid: int | None
    state: str
    reason: str
    partitions: list[str]
    rate_in: float | None
    counters: dict[str, object]
    heartbeat_at: datetime | None


class PipelineRow(TypedDict):
    """`since` is when it halted; `halted` are the partitions that did, each by itself.

    `is_wanted` says whether its consumers should run, though some of its partitions stand; `short`, that it
    lacks consumers because no process is free.
    """

    name: str
    group: str
    writes: str
    state: str
    reason: str
    short: str
    since: datetime | None
    is_wanted: bool
    wanted_consumers: int
    consumers: list[ConsumerRow]
    halted: list[HaltRow]


def ensure(*, groups: Mapping[str, str], writes: Mapping[str, str] | None = None) -> None:
    """Make the row of every pipeline, by name, that has none; what people decided of the others stays.

    `writes` says what each one's step makes, in the plural.
    """
    words = writes or {}
    there = dict(Pipeline.objects.values_list("name", "writes"))
    for name in sorted(groups.keys() - there.keys()):
        made = {"group": groups[name], "writes": words.get(name, "")}
        Pipeline.objects.get_or_create(name=name, defaults=made)
    for name in sorted(there.keys() & words.keys()):
        if there[name] != words[name]:
            Pipeline.objects.filter(name=name).update(writes=words[name])


def pause(*, name: str, actor: str, now: datetime) -> Pipeline:
    """Every consumer drains, commits and stops. Raises UnknownPipeline."""
    return _change(name, actor, now, "pause", state=Pipeline.State.PAUSED)


def resume(*, name: str, actor: str, now: datetime) -> Pipeline:
    """Its consumers are started again, and what halted goes on where it stands. Raises UnknownPipeline."""
    with transaction.atomic():
        pipeline = _change(
            name, actor, now, "resume", state=Pipeline.State.RUNNING, halted_reason="", halted_at=None
        )
        halts.resume_all(pipeline=pipeline, actor=actor, now=now)
    return pipeline


def scale(*, name: str, consumers: int, actor: str, now: datetime) -> Pipeline:
    """Run this many consumers. Raises UnknownPipeline, WrongConsumers."""
    if not 1 <= consumers <= MAX_CONSUMERS:
        raise WrongConsumers(
            f"consumers: {consumers} is not between 1 and {MAX_CONSUMERS}; to stop a pipeline, pause it"
        )
    return _change(name, actor, now, "scale", consumers=consumers)


def halt(*, name: str, reason: str, now: datetime) -> None:
    """Stop every consumer until someone resumes the pipeline. The first reason is kept."""
    Pipeline.objects.filter(name=name, halted_reason="").update(
        halted_reason=reason[:MAX_REASON] or "unknown", halted_at=now, updated_at=now
    )


def listing(*, now: datetime, processes: int | None = None) -> list[PipelineRow]:
    """Every pipeline with its wanted consumers, and those that are still to stop.

    `processes` is how many workers have for consumers; None is unknown.
    """
    rows = []
    taken = capacity.taken(processes=processes, now=now)
    pipelines = list(Pipeline.objects.prefetch_related("slots"))
    halted = halts.by_group(pipeline.group for pipeline in pipelines)
    for pipeline in pipelines:
        by_slot = {consumer.slot: consumer for consumer in pipeline.slots.all()}
        lingering = [
            slot for slot, consumer in by_slot.items() if slot >= pipeline.consumers and consumer.is_held(now)
        ]
        slots = sorted({*range(pipeline.consumers), *lingering})
        consumers = [_consumer_row(pipeline.name, slot, by_slot.get(slot), now) for slot in slots]
        standing = halts.standing(halted[pipeline.group])
        state, reason = _state(pipeline, consumers, standing, taken)
        halted_at = pipeline.halted_at if pipeline.halted_reason else None
        rows.append(
            PipelineRow(
                name=pipeline.name,
                group=pipeline.group,
                writes=pipeline.writes,
                state=state,
                reason=reason,
                short=taken if any(consumer["pid"] is None for consumer in consumers) else "",
                since=halted_at or min((one.halted_at for one in standing), default=None),
                is_wanted=pipeline.is_wanted,
                wanted_consumers=pipeline.consumers,
                consumers=consumers,
                halted=[halts.as_row(one) for one in halted[pipeline.group]],
            )
        )
    return rows


def _consumer_row(name: str, slot: int, consumer: PipelineConsumer | None, now: datetime) -> ConsumerRow:
    if consumer is not None and waits_for_database(name, consumer, now=now):
        return ConsumerRow(
            slot=slot,
            host=consumer.host,
            pid=consumer.pid,
            state=PipelineConsumer.State.RETRYING.value,
            reason=WAITS_FOR_DATABASE,
            partitions=consumer.partitions,
            rate_in=None,
            # What it did until then is of then; that everything waits is of now.
            counters={"waiting": dict.fromkeys(consumer.partitions, WAITS_FOR_DATABASE)},
            heartbeat_at=consumer.heartbeat_at,
        )
    if consumer is None or not consumer.is_held(now):
        return ConsumerRow(
            slot=slot,
            host=None,
            pid=None,
            state=PipelineConsumer.State.STOPPED.value,
            reason=consumer.reason if consumer else "",
            partitions=[],
            rate_in=None,
            counters={},
            heartbeat_at=consumer.heartbeat_at if consumer else None,
        )
    return ConsumerRow(
        slot=slot,
        host=consumer.host,
        pid=consumer.pid,
        state=consumer.state,
        reason=consumer.reason,
        partitions=consumer.partitions,
        rate_in=consumer.counters.get("rate_in"),
        counters=consumer.counters,
        heartbeat_at=consumer.heartbeat_at,
    )


def waits_for_database(name: str, consumer: PipelineConsumer, *, now: datetime) -> bool:
    """Whether the consumer lives and can't say so in its row: its lease ran out, and it never let go."""

    def heard() -> datetime | None:
        spoken = (latest("pipeline.stats") or {}).get(f"{name}/{consumer.slot}")
        if spoken is None or spoken.get("state") == PipelineConsumer.State.STOPPED:
            return None
        return datetime.fromtimestamp(spoken["published_at"], UTC)

    return has_lapsed(consumer, now=now, heard=heard)


def _state(
    pipeline: Pipeline, consumers: Iterable[ConsumerRow], standing: Sequence[PartitionHalt], taken: str
) -> tuple[str, str]:
    """The pipeline's state in one word: what people decided, else its worst consumer's.

    `taken` says that no process is free: then one that has some of its consumers runs, and no more will come.
    Halted is also one of which some partitions stand, though the others go on.
    """
    if pipeline.halted_reason:
        return "halted", pipeline.halted_reason
    if pipeline.state == Pipeline.State.PAUSED:
        return "paused", ""
    if standing:
        return "halted", halts.told(standing)
    rows = list(consumers)
    waiting = [row for row in rows if row["state"] == PipelineConsumer.State.RETRYING]
    if waiting:
        return "retrying", waiting[0]["reason"]
    absent = [row for row in rows if row["state"] == PipelineConsumer.State.STOPPED]
    if absent:
        there = len(rows) - len(absent)
        told = f"{there} of {len(rows)} consumers run"
        return "running" if there and taken else "starting", f"{told}: {taken}" if taken else told
    if any(row["state"] == PipelineConsumer.State.STARTING for row in rows):
        return "starting", ""
    return "running", next((row["reason"] for row in rows if row["reason"]), "")


def find(name: str) -> Pipeline:
    """The pipeline of this name. Raises UnknownPipeline."""
    return _found(name, Pipeline.objects.all())


def _found(name: str, among: QuerySet[Pipeline]) -> Pipeline:
    try:
        return among.get(name=name)
    except Pipeline.DoesNotExist:
        known = ", ".join(Pipeline.objects.values_list("name", flat=True)) or "none yet"
        raise UnknownPipeline(f"there is no pipeline {name!r}; there are: {known}") from None


@transaction.atomic
def _change(name: str, actor: str, now: datetime, verb: str, **fields: Any) -> Pipeline:
    """Set the fields and record who did; what is so already is left alone."""
    pipeline = _found(name, Pipeline.objects.select_for_update())
    before = {field: getattr(pipeline, field) for field in fields}
    if before == fields:
        return pipeline
    for field, value in fields.items():
        setattr(pipeline, field, value)
    pipeline.save(update_fields=[*fields, "updated_at"])
    audit.record(
        actor=actor,
        action=f"pipeline.{verb}",
        sentence=_sentence(verb, name, before, fields),
        now=now,
        target=name,
        target_url=links.pipelines(name),
    )
    return pipeline


def _sentence(verb: str, name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    if verb == "scale":
        return f"scaled pipeline {name} from {before['consumers']} to {after['consumers']} consumers"
    if verb == "resume":
        halted = f", which had halted: {before['halted_reason']}" if before["halted_reason"] else ""
        return f"resumed pipeline {name}{halted}"
    return f"paused pipeline {name}"
