"""The last quarter of an hour of published values: what a chart or sparkline starts with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import redis

from gdsconsole.live import events, schemas
from gdsconsole.live.publish import HISTORY_EVERY_S, HISTORY_POINTS
from gdsconsole.live.snapshots import client

Points = list[tuple[float, float | None]]


def history(event_type: str, field: str, keys: Iterable[str]) -> dict[str, Points]:
    """(epoch seconds, value) of a field by key, oldest first; a key without any has an empty list.

    Empty for all while Redis doesn't answer: there is nothing to draw. What can't be read is left out.
    Raises ValueError for a field of which no history is kept.
    """
    names = list(keys)
    fields = events.EVENT_TYPES[event_type].history
    if field not in fields:
        raise ValueError(f"{event_type} keeps no history of {field!r}")
    place = fields.index(field)
    pipe = client().pipeline(transaction=False)
    for name in names:
        pipe.lrange(events.history_key(event_type, name), -HISTORY_POINTS, -1)
    try:
        answers = pipe.execute(raise_on_error=False) if names else []
    except (redis.RedisError, OSError):
        return {name: [] for name in names}
    return {
        name: _points(events.history_key(event_type, name), answer, place)
        for name, answer in zip(names, answers, strict=True)
    }


def summed(
    points: Mapping[str, Points], *, now: float, step_s: float = HISTORY_EVERY_S, steps: int = HISTORY_POINTS
) -> list[float | None]:
    """The sum over all keys at the end of each of the last `steps` steps, oldest first; None is a gap.

    A value holds for two and a half steps, because samples never come on the beat; a longer silence is
    a gap. Steps before the first known value are left out. Pure.
    """
    ends = [now - step_s * (steps - 1 - step) for step in range(steps)]
    sums: list[float | None] = [None] * steps
    for series in points.values():
        for step, value in enumerate(_held(series, ends, hold_s=2.5 * step_s)):
            if value is not None:
                sums[step] = (sums[step] or 0.0) + value
    first = next((step for step, value in enumerate(sums) if value is not None), steps)
    return sums[first:]


def _held(series: Points, ends: Sequence[float], *, hold_s: float) -> Iterator[float | None]:
    """The newest value of a series at each of these times, None where it is older than `hold_s`."""
    following = 0
    for end in ends:
        while following < len(series) and series[following][0] <= end:
            following += 1
        at, value = series[following - 1] if following else (end - hold_s, None)
        yield value if end - at < hold_s else None


def _points(key: str, answer: list[bytes] | Exception, place: int) -> Points:
    if isinstance(answer, Exception):
        schemas.told.unreadable(key, answer)
        return []
    points: Points = []
    wrong = None
    for text in answer:
        try:
            at, values = schemas.point(text)
        except schemas.Unreadable as error:
            wrong = error
            continue
        # A point kept by an earlier version has fewer fields.
        points.append((at, values[place] if place < len(values) else None))
    if wrong is not None:
        schemas.told.unreadable(key, wrong)
    else:
        schemas.told.readable(key)
    return points
