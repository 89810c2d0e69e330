"""The last quarter of an hour of published values: what a chart or sparkline starts with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import redis

from gdsconsole.live import events
from gdsconsole.live.publish import HISTORY_EVERY_S, HISTORY_POINTS
from gdsconsole.live.snapshots import client

Points = list[tuple[float, float | None]]

_decoder = msgspec.json.Decoder(list[float | None])


def history(event_type: str, field: str, keys: Iterable[str]) -> dict[str, Points]:
    """(epoch seconds, value) of a field by key, oldest first; a key without any has an empty list.

    Empty for all while Redis doesn't answer: there is nothing to draw.
    """
    names = list(keys)
    place = 1 + events.EVENT_TYPES[event_type].history.index(field)
    pipe = client().pipeline(transaction=False)
    for name in names:
        pipe.lrange(events.history_key(event_type, name), 0, -1)
    try:
        answers = pipe.execute() if names else []
    except (redis.RedisError, OSError):
        return {name: [] for name in names}
    return {
        name: [_point(text, place) for text in answer] for name, answer in zip(names, answers, strict=True)
    }


def summed(
    points: Mapping[str, Points], *, now: float, step_s: float = HISTORY_EVERY_S, steps: int = HISTORY_POINTS
) -> list[float | None]:
    """The sum over all keys at each of the last `steps` steps, oldest first; None where nothing is known.

    Leading steps before the first value are left out. Pure.
    """
    sums: list[float | None] = [None] * steps
    for series in points.values():
        # The newest of a step counts: what is published a little too often isn't counted twice.
        newest: dict[int, float | None] = {}
        for at, value in series:
            newest[steps - 1 - int((now - at) // step_s)] = value
        for step, value in newest.items():
            if 0 <= step < steps and value is not None:
                sums[step] = (sums[step] or 0.0) + value
    first = next((step for step, value in enumerate(sums) if value is not None), steps)
    return sums[first:]


def _point(text: bytes, place: int) -> tuple[float, float | None]:
    values: Sequence[float | None] = _decoder.decode(text)
    # A point kept by an earlier version has fewer fields.
    return values[0] or 0.0, values[place] if place < len(values) else None
