"""Samples as the rows and tiles of the pages: what a template writes, with no decision left to it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from django.urls import reverse

from gdsconsole.text.formats import byte_size
from lag.charts import highest, lowest, trend
from lag.headlines import P99_LIMIT_MS, CatchUp, catch_up, catch_up_of, is_idle, is_slow_now, slowest
from lag.models import BrokerFigures, BrokerSample, GroupSample, Method, PartitionSample, Status
from lag.selectors import BROKERS_FINE_S, LagLimit

FigureName = Literal[
    "bytes_in_per_s", "bytes_out_per_s", "messages_in_per_s", "produce_p99_ms", "fetch_p99_ms"
]

NO_FIGURES = "no metrics agent tells"
_METHODS = {
    Method.CAUGHT_UP: "caught up",
    Method.MARKERS: "markers only",
    Method.RECORD: "record's time",
    Method.INTERPOLATED: "interpolated",
}
_ROW_TONES = {Status.STALLED: "bad", Status.STOPPED: "bad", Status.SLOW: "warn", Status.REWOUND: "warn"}
_COUNTS = ("live", "under_replicated", "under_min_isr", "leaderless")
_RANKS = {status: rank for rank, status in enumerate(Status.values)}


@dataclass(frozen=True, slots=True)
class TimeLag:
    """Seconds behind, and how they were found: in a word or two, and in a sentence."""

    age_s: float | None
    method: str
    told: str


@dataclass(frozen=True, slots=True)
class GroupRow:
    sample: GroupSample
    key: str  # the row's id: a group's name may hold anything
    href: str
    live: str  # address of its live values, without the field
    tone: str
    limit: LagLimit | None
    catch_up: CatchUp
    old: TimeLag
    partitions: int | None
    trend: Sequence[float | None]
    last_known: float | None  # lag, where it isn't known now
    pipeline: str


@dataclass(frozen=True, slots=True)
class PartitionRow:
    sample: PartitionSample
    key: str
    topic_href: str  # empty for a topic without a page
    tone: str
    catch_up: CatchUp
    old: TimeLag
    share: float | None  # of the group's largest lag


@dataclass(frozen=True, slots=True)
class BrokerRow:
    figures: BrokerFigures
    state: str  # up, down or unknown
    tone: str
    produce_s: float | None  # p99
    fetch_s: float | None
    is_slow: bool  # its produce p99 is over the limit
    is_idle: bool  # nobody writes to it, so its p99 is old
    has_metrics: bool


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure of the cluster; `style` is a number format of the design system."""

    label: str
    mark: str
    href: str
    value: float | None
    trend: Sequence[float | None]
    note: str = ""
    tone: str = ""
    style: str = "exact"
    unit: str = ""


def group_row(
    sample: GroupSample,
    *,
    partitions: Sequence[PartitionSample] | None,
    trend: Sequence[float | None] = (),
    limit: LagLimit | None = None,
    pipeline: str = "",
    last_known: float | None = None,
) -> GroupRow:
    """`last_known` is shown where the lag isn't known now; without it, what `trend` ends with."""
    known = [value for value in trend if value is not None]
    if last_known is None and known:
        last_known = known[-1]
    tone = _ROW_TONES.get(Status(sample.status), "")
    return GroupRow(
        sample=sample,
        key=_key(sample.group),
        href=group_href(sample.group),
        live=f"lag.sampled:{sample.group}:",
        tone=tone or ("warn" if sample.lost or (limit and limit.is_broken) else ""),
        limit=limit,
        catch_up=catch_up_of(sample),
        old=oldest(sample, partitions or ()),
        partitions=len(partitions)
        if partitions is not None and sample.unknown_partitions is not None
        else None,
        trend=trend,
        last_known=last_known if sample.total_lag is None else None,
        pipeline=pipeline,
    )


def oldest(sample: GroupSample, partitions: Sequence[PartitionSample]) -> TimeLag:
    """The group's seconds behind, with the method of the partition they come from."""
    aged = [part for part in partitions if part["age_s"] is not None]
    method = max(aged, key=lambda part: part["age_s"] or 0.0)["method"] if aged else None
    return _how_old(sample.age_s, method)


def partition_rows(partitions: Sequence[PartitionSample], *, declared: Collection[str]) -> list[PartitionRow]:
    """The worst first: by verdict, then what is unknown, then by lag. `declared` topics have a page."""
    most = max((part["lag"] or 0 for part in partitions), default=0)
    rows = [
        PartitionRow(
            sample=part,
            key=_key(f"{part['topic_id']}/{part['partition']}"),
            topic_href=reverse("topics:topic", args=[part["topic"]]) if part["topic"] in declared else "",
            tone="warn" if part["lost"] else _ROW_TONES.get(Status(part["status"]), ""),
            catch_up=catch_up(
                lag=part["lag"],
                eta_s=part["eta_s"],
                consumed=part["consumed_per_s"],
                produced=part["produced_per_s"],
                status=part["status"],
            ),
            old=_how_old(part["age_s"], part["method"]),
            share=part["lag"] / most if most and part["lag"] is not None else None,
        )
        for part in partitions
    ]
    return sorted(
        rows,
        key=lambda row: (
            -_RANKS[Status(row.sample["status"])],
            -(row.sample["lag"] or 0),
            row.sample["topic"],
            row.sample["partition"],
        ),
    )


def broker_rows(brokers: Sequence[BrokerFigures], *, is_known: bool = True) -> list[BrokerRow]:
    """By id; what is wrong with one is its tone. Unless `is_known`, that they were there is all."""
    return [
        _broker_row(figures if is_known else _nothing_of(figures), is_known=is_known)
        for figures in sorted(brokers, key=lambda figures: figures["id"])
    ]


def _broker_row(figures: BrokerFigures, *, is_known: bool) -> BrokerRow:
    is_slow = is_slow_now(figures)
    state = ("up" if figures["up"] else "down") if is_known else "unknown"
    told = (figures["bytes_in_per_s"], figures["produce_p99_ms"], figures["controller"])
    return BrokerRow(
        figures=figures,
        state=state,
        tone="bad" if state == "down" else "warn" if is_slow or figures["under_replicated"] else "",
        produce_s=_seconds(figures["produce_p99_ms"]),
        fetch_s=_seconds(figures["fetch_p99_ms"]),
        is_slow=is_slow,
        is_idle=is_idle(figures),
        has_metrics=any(value is not None for value in told),
    )


def _nothing_of(figures: BrokerFigures) -> BrokerFigures:
    nothing = dict.fromkeys(figures)
    return nothing | {"id": figures["id"], "address": figures["address"], "up": False}  # type: ignore[return-value]


def cluster_tiles(sample: BrokerSample, trends: Mapping[str, Sequence[float | None]]) -> list[Tile]:
    """What is wrong with the cluster, and how much it carries; `trends` as `cluster_trends` names them."""
    slow = slowest(sample.brokers)
    told = sum(1 for figures in sample.brokers if figures["bytes_in_per_s"] is not None)
    partial = f", {told} of {len(sample.brokers)} brokers told" if 0 < told < len(sample.brokers) else ""
    bytes_out = summed(sample.brokers, "bytes_out_per_s")
    silent = NO_FIGURES if sample.live is not None else ""
    is_down = sample.live is not None and sample.live < (sample.expected or 0)

    def count(label: str, mark: str, field: str, note: str) -> Tile:
        value: int | None = getattr(sample, field)
        return Tile(label, mark, "#short-partitions", value, trends[field], note, "bad" if value else "")

    return [
        Tile(
            "Brokers up",
            "server",
            "#broker-list",
            sample.live,
            trends["live"],
            f"of {sample.expected} expected" if sample.expected is not None else "expected: unknown",
            "bad" if is_down or sample.live is None else "",
        ),
        count("Under-replicated", "copy", "under_replicated", _of_partitions(sample)),
        count("Under min ISR", "circle-slash", "under_min_isr", "refuse writes with acks=all"),
        count("Leaderless", "circle-alert", "leaderless", "neither read nor written"),
        Tile(
            "Bytes in",
            "activity",
            "#throughput",
            summed(sample.brokers, "bytes_in_per_s"),
            trends["bytes_in"],
            f"{byte_size(bytes_out)}/s out{partial}" if bytes_out is not None else silent,
            style="bytes",
            unit="/s",
        ),
        Tile(
            "Produce p99",
            "clock",
            "#times",
            _seconds(slow[1]) if slow else None,
            trends["p99"],
            f"broker {slow[0]}; limit {P99_LIMIT_MS:.0f} ms" if slow else silent,
            "warn" if slow and slow[1] > P99_LIMIT_MS else "",
            "duration",
        ),
    ]


def cluster_trends(samples: Sequence[BrokerSample], *, now: float) -> dict[str, list[float | None]]:
    """The tiles' sparklines, from samples of the last quarter of an hour."""
    points: dict[str, list[tuple[float, float | None]]] = {}
    for sample in samples:
        slow = slowest(sample.brokers)
        figures = {field: getattr(sample, field) for field in _COUNTS}
        figures |= {"bytes_in": summed(sample.brokers, "bytes_in_per_s"), "p99": slow[1] if slow else None}
        for name, value in figures.items():
            points.setdefault(name, []).append((sample.sampled_at.timestamp(), value))
    return {
        name: trend(
            points.get(name, ()),
            now=now,
            fine_s=BROKERS_FINE_S,
            combine=lowest if name == "live" else highest,
        )
        for name in (*_COUNTS, "bytes_in", "p99")
    }


def summed(brokers: Sequence[BrokerFigures], field: FigureName) -> float | None:
    """The sum over the brokers that told; None when none did."""
    known = [value for figures in brokers if (value := figures[field]) is not None]
    return sum(known) if known else None


def group_href(group: str) -> str:
    """The address of a group's page, whatever its name."""
    return reverse("lag:group", args=[group])


def _how_old(age_s: float | None, method: str | None) -> TimeLag:
    if age_s is None or method is None:
        return TimeLag(age_s, "", "")
    return TimeLag(age_s, _METHODS[Method(method)], str(Method(method).label))


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _of_partitions(sample: BrokerSample) -> str:
    return f"of {sample.partitions:,} partitions" if sample.partitions is not None else "partitions: unknown"


def _key(name: str) -> str:
    return hashlib.blake2s(name.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
