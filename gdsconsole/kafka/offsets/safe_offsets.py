"""Which offsets are safe to commit. Pure: it asks no broker and no clock.

Offsets of a partition have gaps (compaction, transaction markers), so what is contiguous can't be told
from the numbers. It is told from the order of delivery: a stretch is safe once it is done and every
stretch taken before it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gdsconsole.kafka.partitions import TopicPartition


@dataclass(slots=True, eq=False)
class Stretch:
    """Records of a partition that are worked on together, up to `next_offset`."""

    tp: TopicPartition
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
        self._lines: dict[TopicPartition, _Line] = {}

    def start(
        self, tp: TopicPartition, offset: int | None, *, committed: int | None, label: str = ""
    ) -> None:
        """Reading starts at `offset`; whatever was taken of the partition before is forgotten.

        None is the log's start, wherever that is: nothing is safe until a record or the end is met.
        `label` goes with each commit of the partition, and says which topic it is of.
        """
        self._lines[tp] = _Line(safe=offset, committed=committed, label=label)

    def forget(self, tps: Iterable[TopicPartition]) -> None:
        """The partitions aren't ours any more."""
        for tp in tps:
            self._lines.pop(tp, None)

    def take(self, tp: TopicPartition, next_offset: int) -> Stretch:
        """Records up to `next_offset` are being worked on."""
        stretch = Stretch(tp, next_offset)
        self._lines[tp].taken.append(stretch)
        return stretch

    def done(self, stretch: Stretch) -> None:
        """The stretch has its effects and its dead letters. One that was dropped since changes nothing."""
        stretch.is_done = True
        line = self._lines.get(stretch.tp)
        if line is not None:
            line.settle()

    def rewind(self, tp: TopicPartition) -> None:
        """What was taken and isn't safe is dropped: its records come again.

        Of a partition that is assigned and not yet placed nothing was taken.
        """
        line = self._lines.get(tp)
        if line is not None:
            line.taken.clear()

    def undo(self) -> None:
        """Nothing is safe that isn't committed: what was done of it is lost, and must be done again."""
        for line in self._lines.values():
            line.safe, line.asked = line.committed, None
            line.taken.clear()

    def skip(self, tp: TopicPartition, offset: int) -> None:
        """No record is left before `offset`: the end of the partition, or a loss that was reported."""
        self.done(self.take(tp, offset))

    def safe(self, tp: TopicPartition) -> int | None:
        """Every record below this offset is done; None until the log's start is known."""
        return self._lines[tp].safe

    def committed(self, tp: TopicPartition) -> int | None:
        """The last offset whose commit was acknowledged; None is unknown."""
        return self._lines[tp].committed

    def due(self) -> dict[TopicPartition, int]:
        """Offsets worth committing: safe, and neither committed nor asked for."""
        return {
            tp: line.safe
            for tp, line in self._lines.items()
            if line.safe is not None and line.safe not in (line.committed, line.asked)
        }

    def unacknowledged(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Safe offsets of these partitions without an acknowledged commit, asked for or not."""
        lines = {tp: self._lines[tp] for tp in tps if tp in self._lines}
        return {
            tp: line.safe
            for tp, line in lines.items()
            if line.safe is not None and line.safe != line.committed
        }

    @property
    def labels(self) -> dict[TopicPartition, str]:
        """What goes with the commits of each partition."""
        return {tp: line.label for tp, line in self._lines.items()}

    @property
    def tps(self) -> list[TopicPartition]:
        """The partitions that are tracked."""
        return list(self._lines)

    def asked(self, offsets: Mapping[TopicPartition, int]) -> None:
        """A commit of these offsets is on its way."""
        for tp, offset in offsets.items():
            if tp in self._lines:
                self._lines[tp].asked = offset

    def acknowledged(self, tp: TopicPartition, offset: int) -> None:
        """The broker has the commit."""
        line = self._lines.get(tp)
        if line is not None:
            line.committed = offset
            if line.asked == offset:
                line.asked = None

    def refused(self, tps: Iterable[TopicPartition]) -> None:
        """The commit failed; the offsets are due again."""
        for tp in tps:
            if tp in self._lines:
                self._lines[tp].asked = None
