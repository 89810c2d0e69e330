"""Partitions that miss replicas, by topic: a broker that is down takes one from nearly all. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

from gdsconsole.web import links


class Replicated(Protocol):
    """A partition as the cluster tells it."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def leader(self) -> int | None: ...
    @property
    def replicas(self) -> tuple[int, ...]: ...
    @property
    def in_sync(self) -> tuple[int, ...]: ...


@dataclass(frozen=True, slots=True)
class ShortRow:
    """Partitions of one topic that miss replicas on the same brokers."""

    topic: str
    topic_href: str  # empty for a topic without a page
    count: int
    partitions: str  # `0-5, 7`
    missing: str  # `2, 3`
    in_sync: int  # replicas of each
    replicas: int
    is_leaderless: bool


def short_rows(partitions: Iterable[Replicated], *, declared: Collection[str]) -> list[ShortRow]:
    """The worst first: without a leader, then with fewest replicas in sync. `declared` topics have a page."""
    ordered = sorted(partitions, key=lambda part: (*_alike(part), part.partition))
    rows = []
    for _, alike in groupby(ordered, key=_alike):
        members = list(alike)
        first = members[0]
        rows.append(
            ShortRow(
                topic=first.topic,
                topic_href=links.topic(first.topic) if first.topic in declared else "",
                count=len(members),
                partitions=ranges([part.partition for part in members]),
                missing=", ".join(map(str, _missing(first))),
                in_sync=len(first.in_sync),
                replicas=len(first.replicas),
                is_leaderless=first.leader is None,
            )
        )
    return rows


def ranges(numbers: Sequence[int]) -> str:
    """`0-2, 5` of rising numbers."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _alike(part: Replicated) -> tuple[bool, int, str, list[int], int]:
    return part.leader is not None, len(part.in_sync), part.topic, _missing(part), len(part.replicas)


def _missing(part: Replicated) -> list[int]:
    return sorted(set(part.replicas) - set(part.in_sync))
