"""The pipelines as their page shows them: one reading, put together from what each store knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.urls import reverse

from gdsconsole.kafka.partitions import TopicPartition
from gdsconsole.live.recent_values import history, summed
from gdsconsole.live.snapshots import latest_of
from gdsconsole.pipelines import capacity, services, status
from gdsconsole.pipelines.halts.services import HaltRow
from gdsconsole.pipelines.models import PartitionFailure, PartitionProgress, Pipeline, PipelineConsumer
from gdsconsole.pipelines.partition_shares import PartitionStrip, shared, strips, tint
from gdsconsole.pipelines.services import ConsumerRow, PipelineRow
from gdsconsole.pipelines.status import ClusterCondition, PipelineStatus

FAILURES_SHOWN = 12
Trend = list[float | None]
UNKNOWN_AROUND = ClusterCondition()


@dataclass(frozen=True, slots=True)
class Figures:
    """Rates a second and counts since the consumer started; None is unknown."""

    rate_in: float | None = None
    rate_out: float | None = None
    batch_ms: float | None = None
    processed: float | None = None
    dead_letters: float | None = None
    retries: float | None = None
    rebalances: float | None = None
    lost: float | None = None
    commit_failures: float | None = None
    last_commit_at: float | None = None


@dataclass(frozen=True, slots=True)
class ConsumerView:
    """`live` is the address under which its values come; `waiting` is why by partition."""

    slot: int
    state: str
    reason: str
    host: str | None
    pid: int | None
    tps: tuple[TopicPartition, ...]
    waiting: Mapping[str, str]
    figures: Figures
    trend: Trend
    live: str

    @property
    def tint(self) -> str:
        """As its cells have it; a consumer without any has none."""
        return tint(self.slot if self.tps else None)


@dataclass(frozen=True, slots=True)
class RetryingPartition:
    """A partition that stands still: at which record, why, and when it is tried again."""

    tp: TopicPartition
    offset: int | None
    why: str
    attempt: int | None
    next_try_at: datetime | None


@dataclass(frozen=True, slots=True)
class PipelineView:
    """`share` says in words how `strips` share the partitions out, `short` why it lacks consumers."""

    name: str
    group: str
    state: str
    reason: str
    short: str
    since: datetime | None
    wanted_consumers: int
    figures: Figures
    trend_in: Trend
    trend_out: Trend
    trend_lag: Trend
    lag: float | None
    lag_page: str
    writes: str
    consumers: tuple[ConsumerView, ...]
    halted: tuple[HaltRow, ...]
    strips: tuple[PartitionStrip, ...]
    share: str
    stuck: tuple[RetryingPartition, ...]
    more_stuck: int
    status: PipelineStatus

    @property
    def running(self) -> int:
        """How many of its consumers somebody runs."""
        return sum(1 for consumer in self.consumers if consumer.pid is not None)

    @property
    def tone(self) -> str:
        if self.state == PipelineConsumer.State.HALTED or self.is_abandoned:
            return "bad"
        return "warn" if self.state == PipelineConsumer.State.RETRYING else self.status.tone

    @property
    def status_told(self) -> str:
        """Its status as a sentence, and what its consumers say of it."""
        said = f" Its consumers say: {self.reason}." if self.reason else ""
        return f"{self.name} {self.status.text}.{said}"

    @property
    def standing(self) -> int:
        """How many of its partitions wait for a decision; the others go on."""
        return sum(1 for halt in self.halted if not halt["decision"])

    @property
    def partitions(self) -> int:
        """How many partitions the group has, as far as is known."""
        return max(sum(len(strip.cells) for strip in self.strips), len(self.halted))

    @property
    def decided(self) -> list[HaltRow]:
        """What was decided of halted partitions and isn't over yet."""
        return [halt for halt in self.halted if halt["decision"]]

    @property
    def is_abandoned(self) -> bool:
        """It should run, and nobody runs it."""
        return self.state == "starting" and self.running == 0


def read(*, now: datetime) -> list[PipelineView]:
    """Every pipeline. Without Redis the trends are empty and the figures some seconds old."""
    rows = services.listing(now=now, processes=capacity.processes(now=now))
    stats = latest_of(["pipeline.stats", "lag.sampled", "brokers.sampled", "topics.compared"])
    around = status.around_of(stats["brokers.sampled"], stats["topics.compared"], now=now.timestamp())
    keys = [f"{row['name']}/{consumer['slot']}" for row in rows for consumer in row["consumers"]]
    groups = [row["group"] for row in rows]
    into = history("pipeline.stats", "rate_in", keys)
    out = history("pipeline.stats", "rate_out", keys)
    behind = history("lag.sampled", "total_lag", groups)
    known: dict[str, set[TopicPartition]] = {group: set() for group in groups}
    seen = PartitionProgress.objects.filter(group__in=groups).values_list("group", "topic", "partition")
    for group, topic, number in seen.distinct():
        known[group].add(TopicPartition(topic, number))
    failures: dict[str, list[PartitionFailure]] = {group: [] for group in groups}
    for failure in PartitionFailure.objects.filter(group__in=groups).order_by("topic", "partition"):
        failures[failure.group].append(failure)
    moment = now.timestamp()

    def trend(points: Mapping[str, Any], names: Iterable[str]) -> Trend:
        return summed({name: points[name] for name in names}, now=moment)

    views = []
    for row in rows:
        names = [f"{row['name']}/{consumer['slot']}" for consumer in row["consumers"]]
        consumers = [
            consumer_view(
                row["name"], consumer, (stats["pipeline.stats"] or {}).get(name), trend(into, [name])
            )
            for name, consumer in zip(names, row["consumers"], strict=True)
        ]
        sample = (stats["lag.sampled"] or {}).get(row["group"])
        views.append(
            pipeline_view(
                row,
                consumers,
                known=known[row["group"]],
                failures=failures[row["group"]],
                trends=(trend(into, names), trend(out, names), trend(behind, [row["group"]])),
                sample=sample,
                lag_now=status.lag_of(stats["lag.sampled"], row["group"], now=moment),
                around=around,
            )
        )
    return views


def consumer_view(
    name: str, consumer: ConsumerRow, stats: Mapping[str, Any] | None, trend: Trend
) -> ConsumerView:
    """A consumer by its heartbeat, or by what it published since, which is newer by a second or two. Pure."""
    beat = consumer["heartbeat_at"]
    is_newer = (
        stats is not None
        and consumer["pid"] is not None
        and beat is not None
        and stats["published_at"] > beat.timestamp()
        and stats.get("state") not in (None, PipelineConsumer.State.STOPPED)
    )
    told: Mapping[str, Any] = {**consumer["counters"], "rate_in": consumer["rate_in"]}
    state, reason, partitions = consumer["state"], consumer["reason"], consumer["partitions"]
    if is_newer and stats is not None:
        told = stats
        state, reason = stats["state"], stats.get("reason") or ""
        partitions = stats.get("partitions") or []
    return ConsumerView(
        slot=consumer["slot"],
        state=state,
        reason=reason,
        host=consumer["host"],
        pid=consumer["pid"],
        tps=tuple(sorted(map(TopicPartition.named, partitions))),
        waiting={where: why for where, why in (told.get("waiting") or {}).items() if why},
        figures=Figures(**{field: told.get(field) for field in Figures.__slots__}),
        trend=trend,
        live=f"pipeline.stats:{name}/{consumer['slot']}:",
    )


def pipeline_view(
    row: PipelineRow,
    consumers: Sequence[ConsumerView],
    *,
    known: set[TopicPartition],
    failures: Sequence[PartitionFailure],
    trends: tuple[Trend, Trend, Trend],
    sample: Mapping[str, Any] | None,
    lag_now: float | None = None,
    around: ClusterCondition = UNKNOWN_AROUND,
) -> PipelineView:
    """Pure. `known` are the partitions that the group ever had; `trends` in, out and of the lag.

    `sample` is the newest of the group's lag; a group that was never sampled has no page of its own.
    `lag_now` is what it said, where that is not long ago.
    """
    held = {tp: consumer.slot for consumer in consumers for tp in consumer.tps}
    waiting = {
        TopicPartition.named(where): why for consumer in consumers for where, why in consumer.waiting.items()
    }
    standing = {
        TopicPartition(one["topic"], one["partition"]): one["reason"]
        for one in row["halted"]
        if not one["decision"]
    }
    drawn = strips(held=held, known=known, waiting=waiting, halted=standing)
    stuck = _stuck(failures, waiting)
    figures = total(consumer.figures for consumer in consumers)
    state, reason = _state_now(row, consumers)
    return PipelineView(
        name=row["name"],
        group=row["group"],
        state=state,
        reason=reason,
        short=row["short"] if row["is_wanted"] else "",
        since=row["since"],
        wanted_consumers=row["wanted_consumers"],
        figures=figures,
        trend_in=trends[0],
        trend_out=trends[1],
        trend_lag=trends[2],
        lag=sample.get("total_lag") if sample else None,
        lag_page=reverse("lag:group", args=[row["group"]]) if sample else reverse("lag:groups"),
        writes=row["writes"] or "rows or records",
        consumers=tuple(consumers),
        halted=tuple(row["halted"]),
        strips=tuple(drawn),
        share=shared(
            [len(consumer.tps) for consumer in consumers if consumer.pid is not None],
            total=sum(len(strip.cells) for strip in drawn),
        ),
        stuck=tuple(stuck[:FAILURES_SHOWN]),
        more_stuck=max(0, len(stuck) - FAILURES_SHOWN),
        status=status.pipeline_status(
            state=state,
            running=sum(consumer.pid is not None for consumer in consumers),
            partitions=len(held),
            reads=_reads(row) or {tp.topic for tp in (held or known)},
            rate=figures.rate_in,
            trend=trends[0],
            lag=lag_now,
            around=around,
            reason=reason,
        ),
    )


def _state_now(row: PipelineRow, consumers: Sequence[ConsumerView]) -> tuple[str, str]:
    """The stored state, unless a consumer has said since that it waits: it can't store that it waits for the
    database."""
    waiting = [consumer.reason for consumer in consumers if consumer.state == PipelineConsumer.State.RETRYING]
    if waiting and row["state"] in (Pipeline.State.RUNNING, PipelineConsumer.State.STARTING):
        return PipelineConsumer.State.RETRYING.value, waiting[0]
    return row["state"], row["reason"]


def _reads(row: PipelineRow) -> set[str]:
    """The topics that its consumers say they read."""
    told = [consumer["counters"].get("reads") for consumer in row["consumers"]]
    return {name for names in told if isinstance(names, list) for name in names if isinstance(name, str)}


def total(each: Iterable[Figures]) -> Figures:
    """Of all consumers: sums of what is known; the slowest batch and the newest commit. Pure."""
    figures = list(each)

    def known(field: str) -> list[float]:
        return [value for one in figures if (value := getattr(one, field)) is not None]

    newest = {"batch_ms", "last_commit_at"}
    return Figures(
        **{
            field: (max(known(field)) if field in newest else sum(known(field))) if known(field) else None
            for field in Figures.__slots__
        }
    )


def _stuck(
    failures: Sequence[PartitionFailure], waiting: Mapping[TopicPartition, str]
) -> list[RetryingPartition]:
    stored = {TopicPartition(one.topic, one.partition): one for one in failures}
    return [
        RetryingPartition(
            tp=tp,
            offset=stored[tp].offset if tp in stored else None,
            why=f"{stored[tp].error_type}: {stored[tp].error}" if tp in stored else waiting[tp],
            attempt=stored[tp].attempt if tp in stored else None,
            next_try_at=stored[tp].next_try_at if tp in stored else None,
        )
        for tp in sorted({*stored, *waiting})
    ]
