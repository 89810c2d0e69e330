"""The way of a message, as a drawing: producers, topics, consumer groups, and what they make. Pure.

The template writes the nodes and `static/js/flow.js` draws a line to each from its `sources`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gdsconsole.assembly.overview.model import BAD, WARN, Lag, PipelineReading, Readings, Topic
from gdsconsole.assembly.overview.problems import group_tone, many, of_pipelines
from gdsconsole.assembly.pipeline_catalog import CATALOG
from gdsconsole.text import formats
from gdsconsole.web import links

PRODUCERS = "producers"
# The consumer groups of the metrics' topics together: what they refuse leaves them as one.
GROUPS = "groups"


@dataclass(frozen=True, slots=True)
class Node:
    """One station. `rate` is what comes to it over its line a second, None where unknown.

    `live` is the event that sets the rate. Where several consumers of a `pipeline` make it together, it has
    their last `consumers`' rates instead, and the page adds up the `rate_field` that each says from then on.
    `has_rate` is False where no line leads to it.
    """

    key: str
    title: str
    mark: str
    href: str
    note: str
    tone: str = ""
    state: str = ""
    sources: Sequence[str] = field(default_factory=tuple)
    rate: float | None = None
    live: str = ""
    pipeline: str = ""
    rate_field: str = ""
    consumers: str = ""
    has_rate: bool = True


@dataclass(frozen=True, slots=True)
class Lane:
    """Topics, the groups that read them, and beside each group what it makes, if that has a page."""

    topics: Sequence[Node]
    groups: Sequence[tuple[Node, Node | None]]


@dataclass(frozen=True, slots=True)
class Flow:
    producers: Node
    metrics: Lane
    dead_letters: Lane


def flow(readings: Readings) -> Flow:
    absent = readings.comparison.absent if readings.comparison else ()
    refused = {topic.name for topic in readings.dead_letter_topics}
    main: list[tuple[Node, Node | None]] = []
    dead: list[tuple[Node, Node | None]] = []
    for pipeline in readings.pipelines:
        reads = readings.reads.get(pipeline.name, ())
        lane = dead if refused.intersection(reads) else main
        group = _group(pipeline, reads, readings.lag)
        lane.append((group, _product(pipeline, readings)))
    return Flow(
        producers=Node(
            key=PRODUCERS,
            title="Producers",
            mark="radio",
            href=links.topics(),
            note=_senders(readings.instances),
            has_rate=False,
        ),
        metrics=Lane([_topic(topic, PRODUCERS, "layers", absent) for topic in readings.metrics], main),
        dead_letters=Lane(
            [_topic(topic, GROUPS, "archive-x", absent) for topic in readings.dead_letter_topics], dead
        ),
    )


def _senders(instances: int | None) -> str:
    if instances is None:
        return "senders unknown"
    return f"{many(instances, 'instance')} sending" if instances else "nobody sends"


def _topic(topic: Topic, source: str, mark: str, absent: Sequence[str]) -> Node:
    if topic.name in absent:
        note = "not on the cluster"
    elif topic.end_total is None:
        note = "size unknown"
    else:
        note = f"{formats.short_number(topic.end_total)} end offsets"
    return Node(
        key=f"topic-{topic.name}",
        title=topic.name,
        mark=mark,
        href=links.topic(topic.name),
        note=note,
        tone=BAD if topic.name in absent else "",
        sources=[source],
        rate=topic.rate_in,
        live=f"topic.rates:{topic.name}:rate_in",
    )


def _group(pipeline: PipelineReading, reads: Sequence[str], lag: Lag | None) -> Node:
    group = lag.of(pipeline.group) if lag else None
    tones = {problem.tone for problem in of_pipelines([pipeline])} | {group_tone(group) if group else ""}
    return Node(
        key=f"group-{pipeline.name}",
        title=pipeline.group,
        mark="workflow",
        href=links.pipelines(pipeline.name),
        note=f"{_consumers(pipeline)} · {_lag(lag, pipeline.group)}",
        tone=BAD if BAD in tones else WARN if WARN in tones else "",
        state=pipeline.state,
        sources=[f"topic-{topic}" for topic in reads],
        **_rated(pipeline, "rate_in", pipeline.rates, pipeline.rate_in),
    )


def _rated(
    pipeline: PipelineReading, field: str, rates: Mapping[int, float | None], rate: float | None
) -> dict[str, Any]:
    """How a node says what its pipeline's consumers do together."""
    slots = list(rates)
    return {
        "rate": rate,
        "live": f"pipeline.stats:{pipeline.name}/{slots[0]}:{field}" if len(slots) == 1 else "",
        "pipeline": pipeline.name,
        "rate_field": field,
        "consumers": _packed(rates) if len(slots) > 1 else "",
    }


def _consumers(pipeline: PipelineReading) -> str:
    if pipeline.running == pipeline.wanted:
        return many(pipeline.wanted, "consumer")
    return f"{pipeline.running} of {many(pipeline.wanted, 'consumer')}"


def _lag(lag: Lag | None, group: str) -> str:
    found = lag.of(group) if lag else None
    if found is None or found.total_lag is None:
        return "lag unknown"
    return f"lag {formats.short_number(found.total_lag)}"


def _packed(rates: Mapping[int, float | None]) -> str:
    """`0=12.5 1=`: what each consumer said last, for the page to go on from."""
    return " ".join(f"{slot}={'' if rate is None else f'{rate:g}'}" for slot, rate in rates.items())


def _product(pipeline: PipelineReading, readings: Readings) -> Node | None:
    """What a pipeline makes; None for one that the catalogue no longer has."""
    spec = CATALOG.get(pipeline.name)
    if spec is None:
        return None
    product = spec.product
    href, note, tone = links.pipelines(pipeline.name), product.note, ""
    if product.counted:
        href, note, tone = _COUNTED[product.counted](readings)
    return Node(
        key=f"made-{product.key}",
        title=product.title,
        mark=product.mark,
        href=href,
        note=note,
        tone=tone,
        sources=[f"group-{pipeline.name}"],
        **_rated(pipeline, "rate_out", pipeline.rates_out, pipeline.rate_out),
    )


def _alerts(readings: Readings) -> tuple[str, str, str]:
    alerts = readings.alerts
    return (
        links.alerts(),
        f"{alerts.firing:,} firing",
        BAD if alerts.critical else WARN if alerts.firing else "",
    )


def _dead_letters(readings: Readings) -> tuple[str, str, str]:
    waiting = readings.dead_letters.waiting
    return links.dead_letters(), f"{waiting:,} open", WARN if waiting else ""


# By the name that a product counts by: where it leads, what is said of it, and its tone.
_COUNTED = {"alerts": _alerts, "dead_letters": _dead_letters}
