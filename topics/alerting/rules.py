"""When alerts open, fire and resolve. Pure: the times are the samples' own, nothing is read or written.

A series is what a rule's labels tell apart (an instance, a consumer group). `judge` takes one series
from one sample to the next:

    inactive -> pending (until `for_s` has passed) -> firing -> resolved (after `keep_firing_for_s`)

`RuleBook` answers, for many samples at once, which of them could matter to any rule at all.
"""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from fnmatch import translate
from functools import cached_property
from hashlib import blake2b

from topics.telemetry import Metric

OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}
# The tags that belong to a series whatever its rule says; the others only where the rule groups by them.
SERIES_TAGS = ("environment", "tenant_id")


@dataclass(frozen=True)
class Rule:
    """An alert rule as the pipelines hold it. Matchers are blank for any, or a pattern with `*`."""

    id: int
    name: str
    source: str
    metric_name: str
    operator: str
    threshold: float
    for_s: int = 0
    keep_firing_for_s: int = 0
    severity: str = "warning"
    database_type: str = ""
    instance: str = ""
    environment: str = ""
    group_by_tags: str = ""

    def is_broken_by(self, value: float) -> bool:
        return OPERATORS[self.operator](value, self.threshold)

    def covers(self, *, subject: str, labels: Mapping[str, str]) -> bool:
        """Whether the series is among those the rule watches."""
        return (
            _matches(self._instance, subject)
            and _matches(self._database_type, labels.get("database_type", ""))
            and _matches(self._environment, labels.get("environment", ""))
        )

    @cached_property
    def tags(self) -> tuple[str, ...]:
        """The tags that are labels of this rule's alerts."""
        chosen = [tag for tag in self.group_by_tags.split(",") if tag]
        return (*SERIES_TAGS, *(tag for tag in chosen if tag not in SERIES_TAGS))

    @cached_property
    def _instance(self) -> re.Pattern[str] | None:
        return _pattern(self.instance)

    @cached_property
    def _database_type(self) -> re.Pattern[str] | None:
        return _pattern(self.database_type)

    @cached_property
    def _environment(self) -> re.Pattern[str] | None:
        return _pattern(self.environment)


class SeriesState(StrEnum):
    """What is remembered of a series between samples; a series without a standing is inactive."""

    PENDING = "pending"
    FIRING = "firing"


@dataclass(frozen=True, slots=True)
class Standing:
    """An open alert: broken since `since`, newest sample at `newest`, good again since `good_since`."""

    state: SeriesState
    since: datetime
    newest: datetime
    good_since: datetime | None = None


class Transition(Enum):
    """What a sample did to its series."""

    NOTHING = "nothing"
    OPENED = "opened"  # pending
    FIRED = "fired"  # at once, or from pending
    RESOLVED = "resolved"
    DROPPED = "dropped"  # was pending, never fired


@dataclass(frozen=True, slots=True)
class TransitionResult:
    change: Transition
    standing: Standing | None  # None: inactive from here on


def judge(rule: Rule, standing: Standing | None, value: float | None, at: datetime) -> TransitionResult:
    """Take a series one sample further.

    1. An unknown value (None) changes nothing: it neither fires nor resolves.
    2. A sample older than the newest one seen of an open alert changes nothing: it arrived late.
    3. A bad sample opens an alert, and fires it once bad samples span `for_s`.
    4. A good sample ends a pending alert without a trace.
    5. A firing alert resolves at the first good sample `keep_firing_for_s` after the values turned
       good; a bad one in between starts that wait again.
    """
    if value is None or (standing is not None and at < standing.newest):
        return TransitionResult(Transition.NOTHING, standing)
    if rule.is_broken_by(value):
        return _bad(rule, standing, at)
    if standing is None:
        return TransitionResult(Transition.NOTHING, None)
    if standing.state is SeriesState.PENDING:
        return TransitionResult(Transition.DROPPED, None)
    good_since = standing.good_since or at
    if at - good_since >= timedelta(seconds=rule.keep_firing_for_s):
        return TransitionResult(Transition.RESOLVED, None)
    return TransitionResult(Transition.NOTHING, Standing(standing.state, standing.since, at, good_since))


def _bad(rule: Rule, standing: Standing | None, at: datetime) -> TransitionResult:
    if standing is None:
        if rule.for_s == 0:
            return TransitionResult(Transition.FIRED, Standing(SeriesState.FIRING, since=at, newest=at))
        return TransitionResult(Transition.OPENED, Standing(SeriesState.PENDING, since=at, newest=at))
    if standing.state is SeriesState.PENDING and at - standing.since >= timedelta(seconds=rule.for_s):
        return TransitionResult(
            Transition.FIRED, Standing(SeriesState.FIRING, since=standing.since, newest=at)
        )
    return TransitionResult(Transition.NOTHING, Standing(standing.state, standing.since, at))


def metric_labels(rule: Rule, metric: Metric, environment: str | None) -> dict[str, str]:
    """The labels of the alert a metric would raise; `environment` is the topic's, if the tag is missing."""
    labels = {"database_type": metric.database_type, "instance_id": metric.instance_id}
    for tag in rule.tags:
        value = metric.tags.get(tag) or (environment if tag == "environment" else None)
        if value:
            labels[tag] = value
    return {name: as_label(value) for name, value in labels.items()}


def as_label(value: str) -> str:
    """The value without NUL, which JSON's text can hold and PostgreSQL's can't."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}")


def fingerprint(labels: Mapping[str, str]) -> str:
    """32 hexadecimal digits that stand for the labels, whatever their order."""
    canonical = json.dumps(labels, sort_keys=True, separators=(",", ":"))
    return blake2b(canonical.encode(), digest_size=16).hexdigest()


# The values a metric may have without any rule caring (both ends excluded), and the instances with an
# open alert on it, whose good samples matter too.
Band = tuple[float, float, set[str]]
_ANY: Band = (-math.inf, math.inf, set())


class RuleBook:
    """Rules indexed by metric name, with one comparison per sample for those that can't matter."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rules)
        self._by_metric: dict[str, list[Rule]] = {}
        for rule in self.rules:
            self._by_metric.setdefault(rule.metric_name, []).append(rule)
        self._bands: dict[str, Band] = {name: _band(rules) for name, rules in self._by_metric.items()}

    def of(self, metric_name: str) -> Sequence[Rule]:
        return self._by_metric.get(metric_name, ())

    def watch(self, open_series: Iterable[tuple[str, str]]) -> None:
        """Say which (metric name, instance) have open alerts now; replaces what was said before."""
        for _, _, instances in self._bands.values():
            instances.clear()
        for metric_name, instance in open_series:
            band = self._bands.get(metric_name)
            if band is not None:
                band[2].add(instance)

    def suspects(self, metrics: Sequence[Metric]) -> list[int]:
        """The positions of the samples that break a rule, and of all others of instances that do so in
        this batch or have an open alert: their good samples may resolve it.

        An instance that breaks a rule is watched from then on, until the next `watch`.
        """
        found = self.beyond(metrics)
        is_new = False
        for position in found:
            metric = metrics[position]
            instances = self._bands[metric.metric_name][2]
            if metric.instance_id not in instances:
                instances.add(metric.instance_id)
                is_new = True
        return self.beyond(metrics) if is_new else found

    def beyond(self, metrics: Sequence[Metric]) -> list[int]:
        """The positions of the samples that break a rule, or whose instance is watched.

        The one loop that every record goes through, hence without a call or an object per record.
        """
        band_of = self._bands.get
        return [
            position
            for position, metric in enumerate(metrics)
            if not (band := band_of(metric.metric_name, _ANY))[0] < metric.value < band[1]
            or (band[2] and metric.instance_id in band[2])
        ]


def _band(rules: Sequence[Rule]) -> Band:
    low, high = -math.inf, math.inf
    for rule in rules:
        if rule.operator in (">", ">="):
            high = min(high, rule.threshold)
        elif rule.operator in ("<", "<="):
            low = max(low, rule.threshold)
        else:
            # No band leaves out a single value, or all but one: look at every sample of this metric.
            low, high = math.inf, -math.inf
    return low, high, set()


def _pattern(matcher: str) -> re.Pattern[str] | None:
    return re.compile(translate(matcher)) if matcher else None


def _matches(pattern: re.Pattern[str] | None, text: str) -> bool:
    return pattern is None or pattern.match(text) is not None
