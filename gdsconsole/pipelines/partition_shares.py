"""How a pipeline's consumers share the partitions of its topics. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gdsconsole.kafka.partitions import TopicPartition
from gdsconsole.text.formats import plural


@dataclass(frozen=True, slots=True)
class PartitionCell:
    """One partition. `slot` is its consumer, None is nobody; `why` says why it waits, or halted."""

    number: int
    slot: int | None
    why: str
    is_halted: bool = False

    @property
    def css(self) -> str:
        state = " is-halted" if self.is_halted else " is-waiting" if self.why else ""
        return f"tint-{self.tint}{state}"

    @property
    def told(self) -> str:
        """Whose it is, and what keeps it."""
        whose = "unassigned" if self.slot is None else f"assigned to consumer {self.slot}"
        if not self.why:
            return whose
        return f"{whose}, {'halted' if self.is_halted else 'retrying'}: {self.why}"

    @property
    def tint(self) -> str:
        return tint(self.slot)


@dataclass(frozen=True, slots=True)
class PartitionStrip:
    topic: str
    cells: tuple[PartitionCell, ...]


def tint(slot: int | None) -> str:
    """Which of the eight series colours a consumer has; the number beside it tells more than eight apart."""
    return "nobody" if slot is None else str(slot % 8 + 1)


def strips(
    *,
    held: Mapping[TopicPartition, int],
    known: Iterable[TopicPartition],
    waiting: Mapping[TopicPartition, str],
    halted: Mapping[TopicPartition, str],
) -> list[PartitionStrip]:
    """A strip a topic: its partitions in order, each with the consumer that holds it.

    `halted` are those that stand until a person decides, and why. `known` are partitions the group ever
    had; of topics that nobody reads any more they are left out, as long as somebody reads any.
    """
    topics = sorted({tp.topic for tp in held} or {tp.topic for tp in known})
    drawn = []
    for topic in topics:
        numbers = [tp.partition for tp in {*held, *known} if tp.topic == topic]
        tps = [TopicPartition(topic, number) for number in range(max(numbers) + 1)]
        cells = tuple(
            PartitionCell(
                tp.partition,
                held.get(tp),
                halted.get(tp) or waiting.get(tp, ""),
                tp in halted,
            )
            for tp in tps
        )
        drawn.append(PartitionStrip(topic, cells))
    return drawn


def shared(counts: Sequence[int], *, total: int) -> str:
    """In words: `counts` are the partitions of each running consumer, of `total` there are."""
    if not total:
        return "its partitions aren't known yet"
    partitions = plural(total, "partition")
    held = sum(counts)
    if not held:
        return f"{partitions}, none of them assigned"
    if len(counts) == 1:
        told = f"1 consumer, {plural(held, 'partition')}"
    else:
        fewest, most = min(counts), max(counts)
        between = "" if fewest == most else f"{fewest} {'or' if most - fewest == 1 else 'to'} "
        told = f"{len(counts)} consumers, {between}{plural(most, 'partition')} each"
    left = total - held
    return f"{told}; {left} unassigned" if left > 0 else told
