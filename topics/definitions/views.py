"""Pages of topics: what was declared beside what runs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from gdsconsole.kafka.cluster.groups import LogRange, read_log_ranges
from gdsconsole.kafka.cluster.topic_properties import lasts_for_ever
from gdsconsole.kafka.errors import KafkaUnavailable
from gdsconsole.live.recent_values import history
from gdsconsole.live.snapshots import latest, latest_of
from gdsconsole.pipelines.connection import kafka_settings
from gdsconsole.text.formats import plural
from gdsconsole.web.filters import status_of
from gdsconsole.web.permissions import permission_required
from topics.definitions import headlines, services
from topics.definitions.cluster_cache import cluster_now
from topics.definitions.filters import ALL, STATES, WORST, ListedTopic, TopicFilter, is_in
from topics.definitions.plan import DriftKind
from topics.definitions.state import TopicState
from topics.models import TopicDefinition
from topics.units import property_in_words

STALE_S = 30.0
UNREAD = LogRange(None, None, None)
SKEW = 1.5  # the fullest partition, in multiples of the mean, from which keys are called uneven

may_view = permission_required("topics.view_topicdefinition")


@require_safe
@may_view
def topics(request: HttpRequest) -> HttpResponse:
    reading = cluster_now()
    states = services.topic_states(reading.live)
    rates = _rates(now=time.time())
    wanted = TopicFilter(request.GET)
    listed = [_listed(state, rates) for state in states]
    shown = wanted.shown(listed) if wanted.is_valid() else []
    context = {
        "filter": wanted,
        "state": request.GET.get("state") or ALL,
        "sort": WORST,
        "tabs": _tabs(states),
        "reading": reading,
        "headline": headlines.about_topics(states, is_known=reading.live is not None),
        "rows": [_row(topic.state, rates) for topic in shown],
        "declared": len(states),
        "undeclared": services.undeclared_topics(reading.live) if reading.live else [],
    }
    template = "topics/topics/_rows.html" if request.htmx else "topics/topics/list.html"  # type: ignore[attr-defined]
    return render(request, template, context, status=status_of(request, wanted.problems))


@require_safe
@may_view
def topic(request: HttpRequest, name: str) -> HttpResponse:
    definition = get_object_or_404(TopicDefinition, name=name)
    reading = cluster_now()
    state = next(
        state for state in services.topic_states(reading.live) if state.definition.pk == definition.pk
    )
    rates = _rates(now=time.time())
    partitions = _partitions(state)
    context = {
        "reading": reading,
        "state": state,
        "row": _row(state, rates),
        "fields": _fields(state),
        "partitions": partitions,
        "trouble": headlines.about_partitions(state.live.partitions) if state.live else None,
        "held": partitions["total"] if partitions else None,
        "chart": _rate_chart(name),
        "limit_bytes": _limit_bytes(state),
        "adjusted": "; ".join(
            f"{made.name} {made.applied} of declared {made.declared} ({made.reason})"
            for made in state.adjustments
        ),
        "readers": _readers(name, now=time.time()),
        "headline": _topic_headline(state),
    }
    template = "topics/topics/_topic.html" if request.htmx else "topics/topics/topic.html"  # type: ignore[attr-defined]
    return render(request, template, context)


def _listed(state: TopicState, rates: Mapping[str, Mapping[str, Any]]) -> ListedTopic:
    rate = rates.get(state.definition.name, {})
    return ListedTopic(state, rate.get("rate_in"), rate.get("end_total"))


def _tabs(states: Sequence[TopicState]) -> list[dict[str, Any]]:
    """All, and each state that some topic is in."""
    counted = [
        {"value": value, "label": label, "count": sum(1 for state in states if is_in(state, value))}
        for value, label in STATES.items()
    ]
    return [tab for tab in counted if tab["count"] or tab["value"] == ALL]


def _rates(*, now: float) -> dict[str, dict[str, Any]]:
    """The newest figures by topic, without those that are too old to be called a rate."""
    newest = latest("topic.rates") or {}
    return {name: figures for name, figures in newest.items() if _is_fresh(figures, now)}


def _row(state: TopicState, rates: dict[str, dict[str, Any]]) -> dict[str, Any]:
    name = state.definition.name
    rate = rates.get(name, {})
    kept_ms = state.definition.retention_ms
    return {
        "state": state,
        "name": name,
        "definition": state.definition,
        "live": state.live,
        "partitions": len(state.live.partitions) if state.live else None,
        "adjusted": {made.name: made for made in state.adjustments},
        "rate": rate.get("rate_in"),
        "total": rate.get("end_total"),
        "rate_live": f"topic.rates:{name}:rate_in",
        "total_live": f"topic.rates:{name}:end_total",
        "passed": sum(1 for check in state.checks if check.passed),
        "failed_told": "; ".join(f"{check.name}: {check.detail}" for check in state.failed_checks),
        "retention_s": None if lasts_for_ever(kept_ms) else kept_ms / 1000,
        "tone": {"missing": "bad", "drift": "warn"}.get(state.state, ""),
    }


def _fields(state: TopicState) -> list[dict[str, Any]]:
    """Every declared field three ways: declared, last applied, live."""
    layout = services.layout_of(state.definition).fields()
    applied = services.last_applied(state.definition)
    before = applied.fields() if applied else {}
    live = services.live_layout(state.live).fields() if state.live else {}
    drifts = {drift.name: drift for drift in state.drifts}
    adjusted = {services.FIELD_OF_ADJUSTMENT[made.name]: made for made in state.adjustments}
    names = [*layout, *(name for name, drift in drifts.items() if drift.verdict is DriftKind.UNDECLARED)]
    return [
        {
            "name": name,
            "declared": _value(name, layout),
            "applied": _value(name, before),
            "live": _value(name, live),
            "drift": drifts.get(name),
            "adjusted": adjusted.get(name),
        }
        for name in names
    ]


def _value(name: str, fields: Mapping[str, str]) -> dict[str, str | None]:
    return {"exact": fields.get(name), "words": property_in_words(name, fields.get(name))}


def _rate_chart(name: str) -> dict[str, Any]:
    points = history("topic.rates", "rate_in", [name])[name]
    return {
        "times": [at for at, _ in points],
        "series": [
            {
                "label": "records in",
                "values": [value for _, value in points],
                "live": f"topic.rates:{name}:rate_in",
            }
        ],
        "format": "rate",
        "window_s": 900,
        "gap_s": 15,
        "low": 0,
        "legend": False,
    }


def _partitions(state: TopicState) -> dict[str, Any] | None:
    """Each partition's leader, replicas and records; None where nobody knows."""
    if state.live is None:
        return None
    name = state.definition.name
    places = {(name, part.partition) for part in state.live.partitions}
    try:
        ranges = read_log_ranges(kafka_settings(), places, timeout_s=2.0)
    except KafkaUnavailable:
        ranges = {}
    held = [ranges.get((name, part.partition), UNREAD) for part in state.live.partitions]
    counts = [_count(one) for one in held]
    known = [count for count in counts if count is not None]
    mean, most = (sum(known) / len(known), max(known)) if known else (0.0, 0)
    return {
        "rows": [
            {
                "part": part,
                "held": one,
                "count": count,
                "share": count / most if most and count is not None else None,
            }
            for part, one, count in zip(state.live.partitions, held, counts, strict=True)
        ],
        "total": sum(known) if len(known) == len(counts) else None,
        "skew": most / mean if mean else None,
        # A few records say nothing about keys.
        "is_uneven": mean >= 100 and most / mean > SKEW,
    }


def _readers(topic: str, *, now: float) -> list[dict[str, Any]] | None:
    """The groups that read the topic, worst first; None where nobody knows.

    Lag comes from the samples of every group, and what a group does at once from the console's own
    pipelines, which also tell which of their partitions are the topic's.
    """
    newest = latest_of(["pipeline.stats", "lag.sampled"])
    samples = {name: one for name, one in (newest["lag.sampled"] or {}).items() if _is_fresh(one, now)}
    consumers = [one for one in (newest["pipeline.stats"] or {}).values() if _is_fresh(one, now)]
    if not samples and not consumers:
        return None
    readers: dict[str, dict[str, Any]] = {
        name: {
            "group": name,
            "status": sample.get("status") or "unknown",
            "lag": sample["topics"][topic],
            "rate": sample.get("consumed_per_s"),
            "consumers": 0,
            "partitions": 0,
        }
        for name, sample in samples.items()
        if topic in (sample.get("topics") or {})
    }
    for consumer in consumers:
        held = sum(1 for name in consumer.get("partitions") or () if name.rpartition("-")[0] == topic)
        if not held or consumer.get("group") is None:
            continue
        unsampled = {
            "group": consumer["group"],
            "status": "unknown",
            "lag": None,
            "rate": None,
            "consumers": 0,
        }
        reader = readers.setdefault(consumer["group"], unsampled | {"partitions": 0})
        reader["rate"] = (
            consumer.get("rate_in")
            if not reader["consumers"]
            else _sum(reader["rate"], consumer.get("rate_in"))
        )
        reader["partitions"] += held
        reader["consumers"] += 1
    if not readers and any(sample.get("topics") is None for sample in samples.values()):
        return None
    return sorted(readers.values(), key=lambda reader: (-(reader["lag"] or 0), str(reader["group"])))


def _sum(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other


def _is_fresh(figures: Mapping[str, Any], now: float) -> bool:
    return bool(now - figures["published_at"] <= STALE_S)


def _limit_bytes(state: TopicState) -> int | None:
    """How large a partition may grow; None without such a limit, and where nobody knows."""
    limit = state.live.config.get("retention.bytes") if state.live else None
    return None if limit is None or lasts_for_ever(int(limit.value)) else int(limit.value)


def _count(held: LogRange) -> int | None:
    if held.high_watermark is None or held.log_start is None:
        return None
    return held.high_watermark - held.log_start


def _topic_headline(state: TopicState) -> str:
    if state.unread:
        return f"It is on the cluster, which does not describe it: {state.unread}"
    if state.state == "unknown":
        return "The cluster does not answer, so only what was declared is known."
    if state.live is None:
        if not state.definition.enabled:
            return "It is declared, disabled, and not on the cluster."
        return "It is declared and not on the cluster."
    count, replicas = len(state.live.partitions), state.live.replication_factor
    said = f"{plural(count, 'partition')}, {plural(replicas, 'replica')} of each"
    if state.drifts:
        differing = len(state.drifts)
        fields = "1 field differs" if differing == 1 else f"{differing} fields differ"
        return f"{said}; {fields} from what was declared."
    failed = state.failed_checks
    if failed:
        return f"{said}, as declared; {len(failed)} of {len(state.checks)} checks fail."
    return f"{said}, as declared; all {len(state.checks)} checks pass."
