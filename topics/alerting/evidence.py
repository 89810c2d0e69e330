"""What an alert's partition says about it: its own values over time, and its instance's other ones. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import fmean, median

from topics.alerting.rules import as_label
from topics.telemetry import Metric

# Samples further from the alert than this belong to another story, such as a record replayed much later.
REACH = timedelta(hours=1)
# What came this soon after the alert began is what it moved to.
SOON_S = 120
FEWEST_BEFORE = 20
MOST_OTHERS = 6
_MOST_POINTS = 1_500


@dataclass(frozen=True, slots=True)
class SeriesTrace:
    """One metric's values by time (epoch seconds), oldest first. `moved` is how far its level went when
    the alert began, in multiples of how much it had varied before; None where too little came before
    to say."""

    metric_name: str
    times: Sequence[float]
    values: Sequence[float]
    moved: float | None = None

    def within(self, first: float, last: float) -> SeriesTrace:
        """The part of it between these times."""
        kept = [at for at in range(len(self.times)) if first <= self.times[at] <= last]
        return SeriesTrace(
            self.metric_name, [self.times[at] for at in kept], [self.values[at] for at in kept], self.moved
        )


@dataclass(frozen=True, slots=True)
class Evidence:
    own: SeriesTrace
    others: Sequence[SeriesTrace]
    left_out: int  # samples of the series that are further away than `REACH`


def history_of(
    metrics: Sequence[Metric], *, labels: Mapping[str, str], metric_name: str, around: datetime
) -> Evidence:
    """The series of an alert, and the other metrics of its instance, those first that moved most."""
    ours = [metric for metric in metrics if is_of(metric, labels)]
    near = [metric for metric in ours if abs(metric.timestamp - around) <= REACH]
    by_name: dict[str, list[Metric]] = {}
    for metric in near:
        by_name.setdefault(metric.metric_name, []).append(metric)
    own = _trace(metric_name, by_name.pop(metric_name, []), around)
    others = [_trace(name, found, around) for name, found in by_name.items() if len(found) > 1]
    others.sort(key=lambda trace: (-(trace.moved or 0.0), trace.metric_name))
    far = sum(1 for metric in ours if metric.metric_name == metric_name) - len(own.times)
    return Evidence(
        own=_thinned(own), others=[_thinned(trace) for trace in others[:MOST_OTHERS]], left_out=far
    )


def is_of(metric: Metric, labels: Mapping[str, str]) -> bool:
    """Whether the metric has every label; a label it doesn't mention came from the topic's name."""
    own = {**metric.tags, "database_type": metric.database_type, "instance_id": metric.instance_id}
    return all(as_label(own.get(name, value)) == value for name, value in labels.items())


def _trace(name: str, metrics: Sequence[Metric], around: datetime) -> SeriesTrace:
    ordered = sorted(metrics, key=lambda metric: metric.timestamp)
    times = [metric.timestamp.timestamp() for metric in ordered]
    values = [metric.value for metric in ordered]
    at = around.timestamp()
    before = [value for time, value in zip(times, values, strict=True) if time < at]
    after = [value for time, value in zip(times, values, strict=True) if at <= time < at + SOON_S]
    return SeriesTrace(name, times, values, _moved(before, after))


def _moved(before: Sequence[float], after: Sequence[float]) -> float | None:
    if len(before) < FEWEST_BEFORE or not after:
        return None
    usual = fmean(before)
    # At least a hundredth of the level: a value that never varied would otherwise be infinitely far.
    varied = max(fmean(abs(value - usual) for value in before), abs(usual) * 0.01, 1e-9)
    return abs(median(after) - usual) / varied


def _thinned(trace: SeriesTrace) -> SeriesTrace:
    """At most `_MOST_POINTS` points, the newest among them."""
    step = -(-len(trace.times) // _MOST_POINTS)
    if step <= 1:
        return trace
    first = (len(trace.times) - 1) % step
    return SeriesTrace(trace.metric_name, trace.times[first::step], trace.values[first::step], trace.moved)
