"""Where a skip leads, and how many records it leaves out: read from Kafka, decided here, shown first."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.core.exceptions import ValidationError

from gdsconsole.kafka.browsing.record_reader import offsets_at
from gdsconsole.kafka.cluster.groups import LogRange, read_log_ranges
from gdsconsole.pipelines.connection import kafka_settings
from gdsconsole.pipelines.models import PartitionHalt
from gdsconsole.web.moments import MomentField

TIMEOUT_S = 5.0
_OFFSET = re.compile(r"[0-9]{1,19}", re.ASCII)


class WrongSkip(ValueError):
    """A target that no partition can skip to; the message names the value and the rule."""


@dataclass(frozen=True, slots=True)
class SkipTarget:
    """An offset, a time, or, with neither, the end of each partition."""

    offset: int | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class HaltedPartition:
    """A halted partition and what its log holds; None where Kafka did not say."""

    halt: PartitionHalt
    log_start: int | None
    end: int | None

    @property
    def waiting(self) -> int | None:
        """Records from where it stands to the log's end."""
        if self.end is None or self.log_start is None:
            return None
        return max(0, self.end - max(self.halt.offset, self.log_start))


@dataclass(frozen=True, slots=True)
class Skip:
    """What a skip of one partition leaves out. `gone` of the offsets were deleted by retention before."""

    halt: PartitionHalt
    to: int
    gone: int

    @property
    def skipped(self) -> int:
        """Offsets from the halt to `to` that may hold records: transaction markers are among them."""
        return self.to - self.halt.offset - self.gone


def target(text: str) -> SkipTarget:
    """`offset:N`, `time:T` (ISO 8601, or an age such as 15m) or `latest`. Raises `WrongSkip`."""
    kind, _, value = text.strip().partition(":")
    if kind == "latest" and not value:
        return SkipTarget()
    if kind == "offset" and _OFFSET.fullmatch(value):
        return SkipTarget(offset=int(value))
    if kind == "time" and value:
        try:
            moment = MomentField().clean(value)
        except ValidationError as error:
            raise WrongSkip(f"to: {' '.join(error.messages)}") from None
        return SkipTarget(at=moment)
    raise WrongSkip(f"to: {text!r} is none of offset:N, time:T and latest")


def stands(halts: Sequence[PartitionHalt]) -> list[HaltedPartition]:
    """What the log of each halted partition holds. Raises `KafkaUnavailable`."""
    ranges = read_log_ranges(
        kafka_settings(), [(halt.topic, halt.partition) for halt in halts], timeout_s=TIMEOUT_S
    )
    return [stand(halt, ranges.get((halt.topic, halt.partition))) for halt in halts]


def stand(halt: PartitionHalt, found: LogRange | None) -> HaltedPartition:
    """Pure."""
    if found is None:
        return HaltedPartition(halt, None, None)
    return HaltedPartition(halt, found.log_start, found.high_watermark)


def preview(wanted: SkipTarget, held: Sequence[HaltedPartition]) -> list[Skip]:
    """Where each partition would go on. Raises `WrongSkip`, `KafkaUnavailable`."""
    times: dict[tuple[str, int], int | None] = {}
    if wanted.at is not None:
        at_ms = int(wanted.at.timestamp() * 1000)
        for topic in sorted({one.halt.topic for one in held}):
            numbers = [one.halt.partition for one in held if one.halt.topic == topic]
            found = offsets_at(kafka_settings(), topic, numbers, at_ms=at_ms, timeout_s=TIMEOUT_S)
            times |= {(topic, number): offset for number, offset in found.items()}
    return plan(wanted, held, times)


def confirmed(skips: Mapping[int, int], held: Sequence[HaltedPartition]) -> None:
    """Whether these targets, by the halt's id, still lie in their logs. Pure; raises `WrongSkip`."""
    for one in held:
        halt, to = one.halt, skips[one.halt.pk]
        if one.end is None or not halt.offset < to <= one.end:
            end = "an unknown end" if one.end is None else f"{one.end}, its end"
            raise WrongSkip(
                f"to: offset {to} is not between {halt.offset}, where {halt.place} stands, and {end}"
            )


def plan(
    wanted: SkipTarget, held: Sequence[HaltedPartition], times: Mapping[tuple[str, int], int | None]
) -> list[Skip]:
    """Pure. `times` has the first offset at or after the wanted time, None where there is none.

    Partitions that stand at the target, or beyond, aren't in the plan. Raises `WrongSkip`.
    """
    skips = []
    for one in held:
        halt = one.halt
        place = (halt.topic, halt.partition)
        if one.end is None or one.log_start is None or (wanted.at is not None and place not in times):
            raise WrongSkip(f"to: {halt.place} gave no answer, so nobody knows what would be skipped")
        to = one.end
        if wanted.at is not None:
            found = times[place]
            to = one.end if found is None else found
        elif wanted.offset is not None:
            to = wanted.offset
            if not halt.offset <= to <= one.end:
                raise WrongSkip(
                    f"to: offset {to} is not between {halt.offset}, where {halt.place} stands, "
                    f"and {one.end}, its end"
                )
        if to > halt.offset:
            gone = min(to, max(halt.offset, one.log_start)) - halt.offset
            skips.append(Skip(halt, to, gone))
    if not skips:
        raise WrongSkip("to: every partition stands there, or beyond: nothing would be skipped")
    return skips
