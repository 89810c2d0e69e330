"""What the pages show: the samples as they are stored, with what else is known of a group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Max, QuerySet
from django.http import HttpRequest

from gdsconsole.pipelines.models import Pipeline
from lag.charts import TREND_SPAN, Row, TimeRange, trend
from lag.headlines import is_read
from lag.models import BrokerSample, GroupSample, PartitionSample, Status
from lag.services.pruning import BROKER_TICKS, GROUP_TICKS
from topics.alerting.rules import Rule
from topics.alerting.services.alerts import rules_in_force, subject_of
from topics.models import Alert, Source, TopicDefinition

LAG_METRIC = "consumer_lag"
# Three ticks may fail before what a page shows is called old.
STALE_S = 20.0
# How long every tick is kept, before one a minute is.
GROUPS_FINE_S = GROUP_TICKS.total_seconds()
BROKERS_FINE_S = BROKER_TICKS.total_seconds()
# Of a longer range only every so many samples of the brokers are read: each holds all of them.
_MOST_BROKER_SAMPLES = 720


def part_of(request: HttpRequest, parts: Mapping[str, str]) -> str:
    """Which part of the page htmx reads again, the first where it names none; empty: the whole page."""
    if not request.htmx:  # type: ignore[attr-defined]  # set by django-htmx
        return ""
    wanted = request.GET.get("part", "")
    return wanted if wanted in parts else next(iter(parts))


@dataclass(frozen=True, slots=True)
class Freshness:
    """When the newest sample was taken; None: there is none."""

    at: datetime | None
    age_s: float | None

    @property
    def is_stale(self) -> bool:
        return self.age_s is not None and self.age_s > STALE_S

    @property
    def stale_s(self) -> float | None:
        return self.age_s if self.is_stale else None


def freshness(at: datetime | None, *, now: datetime) -> Freshness:
    return Freshness(at, None if at is None else max(0.0, (now - at).total_seconds()))


@dataclass(frozen=True, slots=True)
class LagLimit:
    """The value of lag above which an alert rule fires; `is_broken` by the group's lag now."""

    value: float
    rule: str
    is_broken: bool


def limits(groups: Iterable[GroupSample]) -> dict[str, LagLimit]:
    """The lowest limit of each group that some rule watches, by the group's name."""
    rules = [
        rule
        for rule in rules_in_force(Source.LAG)
        if rule.metric_name == LAG_METRIC and rule.operator.startswith(">")
    ]
    found = {}
    for group in groups:
        covering = [rule for rule in rules if _covers(rule, group.group)]
        if covering:
            rule = min(covering, key=lambda rule: rule.threshold)
            broken = group.total_lag is not None and rule.is_broken_by(group.total_lag)
            found[group.group] = LagLimit(rule.threshold, rule.name, broken)
    return found


def _covers(rule: Rule, group: str) -> bool:
    labels = {"group": group}
    return rule.covers(subject=subject_of(labels), labels=labels)


def forgotten(sample: GroupSample) -> GroupSample:
    """What is known of the group now, when it was sampled too long ago: that it was there."""
    return GroupSample(
        pk=sample.pk,
        group=sample.group,
        sampled_at=sample.sampled_at,
        state=sample.state,
        status=Status.UNKNOWN,
        unknown_partitions=None,
    )


def unheard(sample: BrokerSample) -> BrokerSample:
    """What is known of the cluster now, when it was sampled too long ago."""
    return BrokerSample(
        pk=sample.pk, sampled_at=sample.sampled_at, cluster_id=sample.cluster_id, error=sample.error
    )


def last_known_at() -> datetime | None:
    """When the lag of any group was known last."""
    known = GroupSample.objects.filter(total_lag__isnull=False).aggregate(at=Max("sampled_at"))
    at: datetime | None = known["at"]
    return at


def last_answered() -> BrokerSample | None:
    """The newest sample that the cluster answered."""
    return BrokerSample.objects.filter(live__isnull=False).newest()


def last_read(sample: GroupSample) -> GroupSample | None:
    """The sample itself, or the newest before it, in which the group's partitions were read."""
    if is_read(sample):
        return sample
    read = GroupSample.objects.filter(group=sample.group, unknown_partitions__isnull=False)
    return read.order_by("-sampled_at").first()


def pipelines() -> dict[str, str]:
    """The pipeline of this console that is the group, by the group's name."""
    return dict(Pipeline.objects.values_list("group", "name"))


def firing_alerts(group: str) -> list[Alert]:
    """Alerts on the group that fire, the worst first."""
    alerts = Alert.objects.firing().filter(rule__source=Source.LAG, subject=subject_of({"group": group}))
    return list(alerts.select_related("rule", "acknowledged_by").worst_first())


def cluster_alerts() -> list[Alert]:
    """Alerts on brokers that fire, the worst first."""
    alerts = Alert.objects.firing().filter(rule__source=Source.BROKER)
    return list(alerts.select_related("rule", "acknowledged_by").worst_first())


def declared_topics(names: Iterable[str]) -> frozenset[str]:
    """Those of the topics that have a page of their own."""
    return frozenset(TopicDefinition.objects.filter(name__in=set(names)).values_list("name", flat=True))


def partitions_of(groups: Sequence[GroupSample]) -> dict[str, list[PartitionSample] | None]:
    """The partitions of these samples, by group: the list reads those of one page's rows alone."""
    rows = GroupSample.objects.filter(pk__in=[group.pk for group in groups])
    found = dict(rows.values_list("group", "partitions"))
    return {group.group: found.get(group.group) for group in groups}


def trends(groups: Sequence[GroupSample], *, now: datetime) -> dict[str, list[float | None]]:
    """The lag of the last quarter of an hour, by group."""
    points: dict[str, list[tuple[float, float | None]]] = {group.group: [] for group in groups}
    since = now - timedelta(seconds=TREND_SPAN.seconds)
    rows = GroupSample.objects.filter(group__in=points, sampled_at__gte=since).order_by("sampled_at")
    for group, at, lag in rows.values_list("group", "sampled_at", "total_lag"):
        points[group].append((at.timestamp(), lag))
    return {name: trend(found, now=now.timestamp(), fine_s=GROUPS_FINE_S) for name, found in points.items()}


def lag_rows(names: Sequence[str], span: TimeRange, *, now: datetime) -> dict[str, list[Row]]:
    """(time, [lag]) of each group in the range, oldest first."""
    found: dict[str, list[Row]] = {name: [] for name in names}
    rows = _within(GroupSample.objects.filter(group__in=found), span, now)
    for group, at, lag in rows.values_list("group", "sampled_at", "total_lag"):
        found[group].append((at.timestamp(), (lag,)))
    return found


def group_rows(group: str, span: TimeRange, *, now: datetime) -> tuple[list[Row], list[tuple[float, str]]]:
    """(time, [lag, age, consumed, produced]) of a group in the range, and its verdict at each time."""
    fields = ("sampled_at", "status", "total_lag", "age_s", "consumed_per_s", "produced_per_s")
    rows = _within(GroupSample.objects.filter(group=group), span, now).values_list(*fields)
    found = [(at.timestamp(), status, values) for at, status, *values in rows]
    return [(at, values) for at, _, values in found], [(at, status) for at, status, _ in found]


def _within(groups: QuerySet[GroupSample], span: TimeRange, now: datetime) -> QuerySet[GroupSample]:
    since = now - timedelta(seconds=span.seconds)
    return groups.filter(sampled_at__gte=since, sampled_at__lte=now).order_by("sampled_at")


def broker_samples(span: TimeRange, *, now: datetime) -> list[BrokerSample]:
    """The samples of the range, oldest first; of a long range every second, third… one."""
    since = now - timedelta(seconds=span.seconds)
    within = BrokerSample.objects.since(since).filter(sampled_at__lte=now)
    keys = list(within.values_list("pk", flat=True))
    every = -(-len(keys) // _MOST_BROKER_SAMPLES)
    return list(within if every < 2 else within.filter(pk__in=keys[::-every]))
