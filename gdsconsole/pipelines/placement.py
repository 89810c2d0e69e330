"""Which consumers are started next, and which make room, where processes are fewer than consumers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Slot = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Placing:
    """`start` in this order; `yielding` end, because a pipeline that has none gets their processes."""

    start: list[Slot] = field(default_factory=list)
    yielding: list[Slot] = field(default_factory=list)


def place(
    *,
    wanted: Mapping[str, int],
    held: Iterable[Slot],
    movable: Iterable[Slot],
    processes: int | None,
    stuck: int = 0,
) -> Placing:
    """First one consumer for each pipeline, then the rest in turns.

    `wanted` is how many consumers each pipeline should have, `held` every slot that somebody runs; those in
    `movable` take a process of a worker each. `processes` is how many there are, None where nobody says,
    and `stuck` of them do nothing and can't be had.
    """
    running, placed = set(held), set(movable)
    missing = in_turns(wanted, running)
    if processes is None:
        return Placing(start=missing)
    free = max(0, processes - len(placed) - stuck)
    without = [slot for slot in missing if not _count(running, slot[0])]
    starved = list(dict.fromkeys(name for name, _ in without))
    yielding: list[Slot] = []
    for _ in starved[free:]:
        one = _most_crowded(running - set(yielding), placed - set(yielding))
        if one is None:
            break
        yielding.append(one)
    return Placing(start=missing[:free], yielding=yielding)


def in_turns(wanted: Mapping[str, int], running: Iterable[Slot]) -> list[Slot]:
    """Every slot that nobody runs, the next one always of the pipeline that has the fewest."""
    taken = set(running)
    has = {name: _count(taken, name) for name in wanted}
    waiting = {
        name: [slot for slot in range(count) if (name, slot) not in taken] for name, count in wanted.items()
    }
    ordered: list[Slot] = []
    while any(waiting.values()):
        name = min((name for name, slots in waiting.items() if slots), key=lambda name: (has[name], name))
        ordered.append((name, waiting[name].pop(0)))
        has[name] += 1
    return ordered


def shortage(
    *, wanted: Mapping[str, int], processes: int | None, by_hand: Iterable[Slot] = ()
) -> dict[str, int]:
    """How many consumers each pipeline will have that can't have all it wants; empty where all fit.

    Those in `by_hand` run without a worker, and take none of its processes.
    """
    there = {slot for slot in by_hand if slot[1] < wanted.get(slot[0], 0)}
    missing = in_turns(wanted, there)
    if processes is None or len(missing) <= processes:
        return {}
    given = {*there, *missing[:processes]}
    counts = {name: _count(given, name) for name in wanted}
    return {name: count for name, count in counts.items() if count < wanted[name]}


def _most_crowded(running: set[Slot], movable: set[Slot]) -> Slot | None:
    """The last consumer of the pipeline that has the most; None where none can spare one."""
    able = [slot for slot in movable if _count(running, slot[0]) > 1]
    return max(able, key=lambda slot: (_count(running, slot[0]), slot), default=None)


def _count(slots: Iterable[Slot], name: str) -> int:
    return sum(1 for of, _ in slots if of == name)
