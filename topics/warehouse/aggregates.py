"""What samples add up to, minute by minute. Pure.

A sample counts in the minute it was measured in, however late it came, as long as it was sent within
the window of that. How late is told by the record's own time: the same when it is delivered again, the
same when a backlog of days is read, and untouched by another instance's wrong clock.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from fastdigest import TDigest

from topics.telemetry import Metric

MINUTE_S = 60
# Up to as many values a percentile is exact; beyond them a minute is about 1.6 kB, and off by less than
# one in a hundred of the ranks, and by far less at the ends.
CENTROIDS = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE = timedelta(seconds=MINUTE_S)
_LARGEST = sys.float_info.max


@dataclass(slots=True)
class Addition:
    """What a batch brings for one series and minute; `outside` counts samples that came then, too late."""

    values: list[float] = field(default_factory=list)
    outside: int = 0


@dataclass(frozen=True, slots=True)
class Figures:
    """A `Summary` row's content, in the order of `Summary.FIGURES`. None where nothing was counted."""

    count: int = 0
    minimum: float | None = None
    maximum: float | None = None
    total: float | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    sketch: bytes | None = None
    outside: int = 0


NOTHING = Figures()
# A series' id, and seconds since 1970.
Minute = tuple[int, int]


def minutes_of(
    *, series: Sequence[int], metrics: Sequence[Metric], sent: Sequence[datetime], window: timedelta
) -> dict[Minute, Addition]:
    """The i-th metric is of `series[i]` and its record's time is `sent[i]`.

    A sample measured more than the window before it was sent, or after, is counted as outside in the
    minute it was sent in.
    """
    found: dict[Minute, Addition] = {}
    for one, metric, sent_at in zip(series, metrics, sent, strict=True):
        inside = -window <= sent_at - metric.timestamp <= window
        at = metric.timestamp if inside else sent_at
        minute = (at - _EPOCH) // _MINUTE * MINUTE_S
        addition = found.get((one, minute))
        if addition is None:
            addition = found[one, minute] = Addition()
        if inside:
            addition.values.append(metric.value)
        else:
            addition.outside += 1
    return found


def summarized(addition: Addition) -> Figures:
    """The addition as a minute of its own."""
    values = addition.values
    if not values:
        return Figures(outside=addition.outside)
    digest = TDigest.from_values(values, max_centroids=CENTROIDS)
    return _figures(digest, len(values), min(values), max(values), sum(values), addition.outside)


def merged(one: Figures, other: Figures) -> Figures:
    """Both together; neither is changed."""
    if one.sketch is None or other.sketch is None:
        counted = other if one.sketch is None else one
        return replace(counted, outside=one.outside + other.outside)
    digest = TDigest.from_bytes(one.sketch)
    digest.merge_inplace(TDigest.from_bytes(other.sketch))
    both = (one, other)
    return _figures(
        digest,
        one.count + other.count,
        min(figures.minimum for figures in both if figures.minimum is not None),
        max(figures.maximum for figures in both if figures.maximum is not None),
        sum(figures.total for figures in both if figures.total is not None),
        one.outside + other.outside,
    )


def start_of(moment: datetime, span: timedelta) -> datetime:
    """The start of the span (a minute, an hour) that the moment is in."""
    return moment - (moment - _EPOCH) % span


def moment_of(seconds: int) -> datetime:
    return _EPOCH + timedelta(seconds=seconds)


def merged_all(figures: Iterable[Figures]) -> Figures:
    """All of them together."""
    whole = NOTHING
    for one in figures:
        whole = merged(whole, one)
    return whole


def _figures(
    digest: TDigest, count: int, minimum: float, maximum: float, total: float, outside: int
) -> Figures:
    # Sums and centroids of values near the largest a double holds run over it; no figure may.
    p50, p95, p99 = (
        max(minimum, min(maximum, quantile)) for quantile in digest.quantile_vec([0.5, 0.95, 0.99])
    )
    return Figures(
        count,
        minimum,
        maximum,
        max(-_LARGEST, min(_LARGEST, total)),
        p50,
        p95,
        p99,
        digest.to_bytes(),
        outside,
    )
