"""Reads what the overview shows: the database for what is stored, Redis for what was just published."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Min, Q
from django.db.models.functions import TruncMinute

from dlq.models import DeadLetter
from gdsconsole.assembly.overview import model
from gdsconsole.assembly.overview.fleet import Fleet, fleet, instances
from gdsconsole.assembly.overview.flow import Flow, flow
from gdsconsole.assembly.overview.model import (
    Alerts,
    Brokers,
    Comparison,
    DeadLetters,
    Group,
    Lag,
    Named,
    PipelineReading,
    Readings,
    Topic,
)
from gdsconsole.assembly.overview.problems import Problem, of_pipelines, problems
from gdsconsole.assembly.overview.tiles import Sparks, Tile, tiles
from gdsconsole.assembly.pipeline_catalog import ALERTING, CATALOG, dead_letter_topics, metrics_topics
from gdsconsole.live.recent_values import history, summed
from gdsconsole.live.snapshots import Snapshot, latest_of
from gdsconsole.pipelines import services
from gdsconsole.pipelines.models import PipelineConsumer
from topics.alerting.links import live_address
from topics.models import Alert, AlertRule, Severity, Source

PUBLISHED = (
    "pipeline.stats",
    "metric.newest",
    "lag.sampled",
    "topic.rates",
    "topics.compared",
    "brokers.sampled",
)
ALERT_STEP_S = 15.0
ALERT_STEPS = 60
LETTER_MINUTES = 60
ALERTS_SHOWN = 50
# An alert list or a sparkline of more alerts than this tells nothing that its number doesn't.
ALERTS_READ = 5_000
SEVERITY_TONES = {Severity.CRITICAL.value: "bad", Severity.WARNING.value: "warn", Severity.INFO.value: "info"}
_STILL = (PipelineConsumer.State.STOPPED, PipelineConsumer.State.HALTED)


@dataclass(frozen=True, slots=True)
class OverviewState:
    """The upper part of the page: what is known, what is wrong with it, its figures and its drawing."""

    readings: Readings
    problems: Sequence[Problem]
    tiles: Sequence[Tile]
    flow: Flow


@dataclass(frozen=True, slots=True)
class AlertRow:
    """An alert and its newest value; `live` is the event that brings newer ones."""

    alert: Alert
    now: float
    live: str

    @property
    def acknowledged_by(self) -> str:
        who = self.alert.acknowledged_by
        return who.get_username() if who else "a deleted user"


@dataclass(frozen=True, slots=True)
class FiringAlerts:
    """Alerts that fire, the worst first and of those the newest; `more` are not among `rows`."""

    rows: Sequence[AlertRow]
    firing: int

    @property
    def more(self) -> int:
        return self.firing - len(self.rows)


def read_state(*, now: datetime) -> OverviewState:
    """Everything but the lists. What Redis can't tell is None; a database that is away raises."""
    epoch = now.timestamp()
    published = latest_of(PUBLISHED)
    newest = published["metric.newest"]
    reads = _topics_by_pipeline()
    metrics, refused = metrics_topics(), dead_letter_topics()
    readings = Readings(
        alerts=read_alerts(),
        dead_letters=read_dead_letters(),
        lag=lag_of(published["lag.sampled"], now=epoch),
        brokers=brokers_of(published["brokers.sampled"], now=epoch),
        pipelines=read_pipelines(published["pipeline.stats"], now=now),
        metrics=topics_of(published["topic.rates"], metrics, now=epoch),
        dead_letter_topics=topics_of(published["topic.rates"], refused, now=epoch),
        reads=reads,
        instances=None if newest is None else instances(newest, now=epoch),
        comparison=comparison_of(published["topics.compared"], now=epoch),
        live=any(one is not None for one in published.values()),
    )
    return OverviewState(
        readings=readings,
        problems=problems(readings),
        tiles=tiles(readings, _sparks(readings, now)),
        flow=flow(readings),
    )


def read_firing() -> FiringAlerts:
    """The alerts that fire now."""
    firing = Alert.objects.firing()
    found = firing.select_related("rule", "acknowledged_by").worst_and_newest_first()[:ALERTS_SHOWN]
    rows = [AlertRow(alert, alert.last_value, live_address(alert)) for alert in found]
    return FiringAlerts(rows, len(rows) if len(rows) < ALERTS_SHOWN else firing.count())


def read_fleet(*, now: datetime) -> Fleet | None:
    """The newest metrics; None while Redis does not answer."""
    newest = latest_of(["metric.newest"])["metric.newest"]
    if newest is None:
        return None
    firing = Alert.objects.firing().worst_and_newest_first()
    alerting: dict[tuple[str, str], str] = {}
    for subject, metric, severity in firing.values_list("subject", "metric_name", "severity")[:ALERTS_READ]:
        alerting.setdefault((subject, metric), SEVERITY_TONES[severity])
    rules = AlertRule.objects.filter(enabled=True, source=Source.METRIC).order_by("pk")
    watched = list(rules.values_list("metric_name", flat=True))
    return fleet(newest, alerting=alerting, watched=watched, now=now.timestamp())


def why_no_metrics(*, now: datetime) -> str:
    """Why nothing new could be shown, if it is the console's own doing; "" where nothing was sent."""
    showing = [one for one in read_pipelines(None, now=now) if one.name == ALERTING.name]
    return next((problem.text for problem in of_pipelines(showing)), "")


def read_alerts() -> Alerts:
    counts = Alert.objects.firing().aggregate(
        **{severity.value: Count("pk", filter=Q(severity=severity)) for severity in Severity},
        acknowledged=Count("pk", filter=Q(acknowledged_at__isnull=False)),
        oldest=Min("fired_at"),
    )
    return Alerts(**counts)


def read_dead_letters() -> DeadLetters:
    return DeadLetters(
        **DeadLetter.objects.open().aggregate(waiting=Count("pk"), causes=Count("cause", distinct=True))
    )


def read_pipelines(stats: Snapshot | None, *, now: datetime) -> list[PipelineReading]:
    """Every pipeline of the catalogue, and what else the database knows as one; one that has no row yet
    runs no consumer. A consumer's rate is what it published, else what its last heartbeat said."""
    rows = {row["name"]: row for row in services.listing(now=now)}
    return [
        _pipeline(rows[name], stats, now)
        if name in rows
        else PipelineReading(name, CATALOG[name].group, "starting", "", 0, 1, {}, {})
        for name in [*CATALOG, *sorted(rows.keys() - CATALOG.keys())]
    ]


def _pipeline(row: services.PipelineRow, stats: Snapshot | None, now: datetime) -> PipelineReading:
    return PipelineReading(
        name=row["name"],
        group=row["group"],
        state=row["state"],
        reason=row["reason"],
        running=sum(1 for consumer in row["consumers"] if consumer["state"] not in _STILL),
        wanted=row["wanted_consumers"],
        rates=_rates(stats, row, "rate_in", now),
        rates_out=_rates(stats, row, "rate_out", now),
    )


def _rates(
    stats: Snapshot | None, row: services.PipelineRow, field: str, now: datetime
) -> dict[int, float | None]:
    return {
        consumer["slot"]: _consumer_rate(stats, row["name"], consumer, field, now)
        for consumer in row["consumers"]
    }


def _consumer_rate(
    stats: Snapshot | None, name: str, consumer: services.ConsumerRow, field: str, now: datetime
) -> float | None:
    rate: Any = None
    spoken = (stats or {}).get(f"{name}/{consumer['slot']}")
    beat = consumer["heartbeat_at"]
    if spoken and now.timestamp() - spoken["published_at"] <= model.STATS_FRESH_S:
        rate = spoken.get(field)
    elif beat is not None and now - beat <= timedelta(seconds=model.SAMPLE_FRESH_S):
        rate = consumer["counters"].get(field)
    return None if rate is None else float(rate)


def _topics_by_pipeline() -> dict[str, Sequence[str]]:
    """The topics that each pipeline reads; pipelines that share a question share its answer."""
    answers: dict[Callable[[], Sequence[str]], Sequence[str]] = {}
    for spec in CATALOG.values():
        if spec.topics not in answers:
            answers[spec.topics] = spec.topics()
    return {spec.name: answers[spec.topics] for spec in CATALOG.values()}


def lag_of(sampled: Snapshot | None, *, now: float) -> Lag | None:
    """The groups' lag, None when it was not sampled lately."""
    fresh = _fresh(sampled, now)
    if not fresh:
        return None
    groups = [
        Group(
            name=key,
            status=one.get("status"),
            total_lag=one.get("total_lag"),
            unknown_partitions=one.get("unknown_partitions") or 0,
        )
        for key, one in fresh.items()
    ]
    groups.sort(key=lambda group: (-(group.total_lag or 0), group.name))
    return Lag(groups, at=min(one["published_at"] for one in fresh.values()))


def brokers_of(sampled: Snapshot | None, *, now: float) -> Brokers | None:
    """The brokers as they were sampled last, None when that is too long ago."""
    one = _fresh(sampled, now).get("cluster")
    if one is None:
        return None
    return Brokers(
        live=_count(one.get("brokers")),
        expected=_count(one.get("expected")),
        under_replicated=_count(one.get("under_replicated")),
        leaderless=_count(one.get("leaderless")),
        at=one["published_at"],
    )


def comparison_of(compared: Snapshot | None, *, now: float) -> Comparison | None:
    """The declared topics against the cluster, None when that was not compared lately."""
    one = _fresh(compared, now, model.COMPARISON_FRESH_S).get("declared")
    if one is None:
        return None
    named = {name: Named(one[name]["count"], one[name]["names"]) for name in ("missing", "drift", "failing")}
    return Comparison(absent=one["absent"], **named)


def topics_of(sampled: Snapshot | None, names: Iterable[str], *, now: float) -> list[Topic]:
    """These topics with their rates, unknown where they were not sampled lately."""
    fresh = _fresh(sampled, now)
    return [
        Topic(name, found.get("rate_in"), found.get("end_total"), found["published_at"])
        if (found := fresh.get(name))
        else Topic(name)
        for name in names
    ]


def _fresh(sampled: Snapshot | None, now: float, fresh_s: float = model.SAMPLE_FRESH_S) -> Snapshot:
    return {key: one for key, one in (sampled or {}).items() if now - one["published_at"] <= fresh_s}


def _count(value: Any) -> int | None:
    """A count that was published as a number, or as the list of what was counted."""
    return len(value) if isinstance(value, list) else value


def _sparks(readings: Readings, now: datetime) -> Sparks:
    epoch = now.timestamp()
    if not readings.live:
        return Sparks(alerts=_alerts_over_time(now), dead_letters=_letters_by_minute(now))
    topics = [topic.name for topic in readings.metrics]
    groups = [group.name for group in readings.lag.groups] if readings.lag else []
    return Sparks(
        messages=summed(history("topic.rates", "rate_in", topics), now=epoch),
        lag=summed(history("lag.sampled", "total_lag", groups), now=epoch),
        alerts=_alerts_over_time(now),
        dead_letters=_letters_by_minute(now),
    )


def _alerts_over_time(now: datetime) -> list[float | None]:
    since = now - timedelta(seconds=ALERT_STEP_S * ALERT_STEPS)
    rows = Alert.objects.filter(Q(resolved_at=None) | Q(resolved_at__gte=since), fired_at__isnull=False)
    intervals = [
        (fired.timestamp(), resolved.timestamp() if resolved else None)
        for fired, resolved in rows.values_list("fired_at", "resolved_at")[:ALERTS_READ]
        if fired is not None
    ]
    return holding_over_time(intervals, now=now.timestamp(), step_s=ALERT_STEP_S, steps=ALERT_STEPS)


def holding_over_time(
    intervals: Iterable[tuple[float, float | None]], *, now: float, step_s: float, steps: int
) -> list[float | None]:
    """How many of the (start, end or None) intervals hold at the end of each of the last steps. Pure."""
    ends = [now - step_s * (steps - 1 - step) for step in range(steps)]
    spans = list(intervals)
    return [float(sum(1 for start, end in spans if start <= at and (end is None or end > at))) for at in ends]


def _letters_by_minute(now: datetime) -> list[float | None]:
    """New dead letters in each of the last 60 minutes."""
    first = now.replace(second=0, microsecond=0) - timedelta(minutes=LETTER_MINUTES - 1)
    rows = (
        DeadLetter.objects.filter(indexed_at__gte=first)
        .annotate(minute=TruncMinute("indexed_at"))
        .values_list("minute")
        .annotate(letters=Count("pk"))
        .order_by()
    )
    found: Mapping[datetime, int] = dict(rows)
    minutes = (first + timedelta(minutes=minute) for minute in range(LETTER_MINUTES))
    return [float(found.get(minute, 0)) for minute in minutes]
