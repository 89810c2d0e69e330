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


@dataclass(slots=True, eq=False)
class Stretch:
    """Records of a partition that are worked on together, up to `next_offset`."""

    place: Place
    next_offset: int
    is_done: bool = False


@dataclass(slots=True)
class _Line:
    """One partition."""

    safe: int | None
    committed: int | None
    label: str = ""
    asked: int | None = None
    taken: deque[Stretch] = field(default_factory=deque)

    def settle(self) -> None:
        while self.taken and self.taken[0].is_done:
            self.safe = self.taken.popleft().next_offset


class OffsetTracker:
    """The stretches of each partition that are taken, done, asked to be committed, and committed."""

    def __init__(self) -> None:
        self._lines: dict[Place, _Line] = {}

    def start(self, place: Place, offset: int | None, *, committed: int | None, label: str = "") -> None:
        """Reading starts at `offset`; whatever was taken of the partition before is forgotten.

        None is the log's start, wherever that is: nothing is safe until a record or the end is met.
        `label` goes with each commit of the partition, and says which topic it is of.
        """
        self._lines[place] = _Line(safe=offset, committed=committed, label=label)

    def forget(self, places: Iterable[Place]) -> None:
        """The partitions aren't ours any more."""
        for place in places:
            self._lines.pop(place, None)

    def take(self, place: Place, next_offset: int) -> Stretch:
        """Records up to `next_offset` are being worked on."""
        stretch = Stretch(place, next_offset)
        self._lines[place].taken.append(stretch)
        return stretch

    def done(self, stretch: Stretch) -> None:
        """The stretch has its effects and its dead letters. One that was dropped since changes nothing."""
        stretch.is_done = True
        line = self._lines.get(stretch.place)
        if line is not None:
            line.settle()

    def rewind(self, place: Place) -> None:
        """What was taken and isn't safe is dropped: its records come again.

        Of a partition that is assigned and not yet placed nothing was taken.
        """
        line = self._lines.get(place)
        if line is not None:
            line.taken.clear()

    def undo(self) -> None:
        """Nothing is safe that isn't committed: what was done of it is lost, and must be done again."""
        for line in self._lines.values():
            line.safe, line.asked = line.committed, None
            line.taken.clear()

    def skip(self, place: Place, offset: int) -> None:
        """No record is left before `offset`: the end of the partition, or a loss that was reported."""
        self.done(self.take(place, offset))

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
    def labels(self) -> dict[Place, str]:
        """What goes with the commits of each partition."""
        return {place: line.label for place, line in self._lines.items()}

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
