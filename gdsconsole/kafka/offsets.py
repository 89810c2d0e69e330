"""Which offsets are safe to commit. Pure: it asks no broker and no clock.

Offsets of a partition have gaps (compaction, transaction markers), so what is contiguous can't be told
from the numbers. It is told from the order of delivery: a stretch is safe once it is done and every
stretch taken before it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

# Topic and partition number, as the client names a partition.
Place = tuple[str, int]


@dataclass(slots=True)
class _Line:
    """One partition. Stretches are known by the offset that follows them."""

    safe: int | None
    committed: int | None
    asked: int | None = None
    taken: deque[int] = field(default_factory=deque)
    done: set[int] = field(default_factory=set)


class OffsetTracker:
    """The stretches of each partition that are taken, done, asked to be committed, and committed."""

    def __init__(self) -> None:
        self._lines: dict[Place, _Line] = {}

    def start(self, place: Place, offset: int | None, *, committed: int | None) -> None:
        """Reading starts at `offset`; whatever was taken of the partition before is forgotten.

        None is the log's start, wherever that is: nothing is safe until a record or the end is met.
        """
        self._lines[place] = _Line(safe=offset, committed=committed)

    def forget(self, places: Iterable[Place]) -> None:
        """The partitions aren't ours any more."""
        for place in places:
            self._lines.pop(place, None)

    def take(self, place: Place, next_offset: int) -> None:
        """Records up to `next_offset` are being worked on."""
        self._lines[place].taken.append(next_offset)

    def done(self, place: Place, next_offset: int) -> None:
        """The stretch that was taken up to `next_offset` has its effects and its dead letters."""
        line = self._lines[place]
        line.done.add(next_offset)
        while line.taken and line.taken[0] in line.done:
            line.safe = line.taken.popleft()
            line.done.discard(line.safe)

    def rewind(self, place: Place) -> None:
        """What was taken and isn't safe is dropped: its records come again."""
        line = self._lines[place]
        line.taken.clear()
        line.done.clear()

    def skip(self, place: Place, offset: int) -> None:
        """No record is left before `offset`: the end of the partition, or a loss that was reported."""
        line = self._lines[place]
        if not line.taken:
            line.safe = offset

    def safe(self, place: Place) -> int | None:
        """Every record below this offset is done; None until the log's start is known."""
        return self._lines[place].safe

    def committed(self, place: Place) -> int | None:
        """The last offset whose commit was acknowledged; None is unknown."""
        return self._lines[place].committed

    def due(self) -> dict[Place, int]:
        """Offsets worth committing: safe, and neither committed nor asked for."""
        return {
            place: line.safe
            for place, line in self._lines.items()
            if line.safe is not None and line.safe not in (line.committed, line.asked)
        }

    def unacknowledged(self, places: Iterable[Place]) -> dict[Place, int]:
        """Safe offsets of these partitions without an acknowledged commit, asked for or not."""
        lines = {place: self._lines[place] for place in places if place in self._lines}
        return {
            place: line.safe
            for place, line in lines.items()
            if line.safe is not None and line.safe != line.committed
        }

    @property
    def places(self) -> list[Place]:
        """The partitions that are tracked."""
        return list(self._lines)

    def asked(self, offsets: Mapping[Place, int]) -> None:
        """A commit of these offsets is on its way."""
        for place, offset in offsets.items():
            if place in self._lines:
                self._lines[place].asked = offset

    def acknowledged(self, place: Place, offset: int) -> None:
        """The broker has the commit."""
        line = self._lines.get(place)
        if line is not None:
            line.committed = offset
            if line.asked == offset:
                line.asked = None

    def refused(self, places: Iterable[Place]) -> None:
        """The commit failed; the offsets are due again."""
        for place in places:
            if place in self._lines:
                self._lines[place].asked = None
