"""What a failure leads to: when to try again, when to give up, when to stop. Pure, given `now`.

Times are seconds since the epoch, because a retry that is stored outlives the process that planned it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeVar

from gdsconsole.kafka.errors import FailureKind, InvalidMessage
from gdsconsole.kafka.partitions import TopicIdPartition

MAX_REASON = 500


@dataclass(frozen=True, slots=True)
class Failure:
    """The record a partition stands at. `attempt` counts failed tries from 1."""

    partition: TopicIdPartition
    offset: int
    kind: FailureKind
    attempt: int
    first_failed_at: float
    last_failed_at: float
    next_try_at: float
    error_type: str
    error: str


class FailureStore(Protocol):
    """Keeps failures where the next owner of a partition finds them."""

    def load(self, partitions: Sequence[TopicIdPartition]) -> Mapping[TopicIdPartition, Failure]: ...
    def save(self, failure: Failure) -> None: ...
    def clear(self, partition: TopicIdPartition) -> None: ...


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`max_retries` tries of a record that fails for no known reason, `2**attempt` s apart.

    Transient failures are retried for ever, from `transient_base_s` doubling up to `transient_cap_s`,
    between half and all of it at random, so that consumers don't come back in step.
    """

    max_retries: int = 3
    transient_base_s: float = 0.5
    transient_cap_s: float = 60.0


def next_failure(
    earlier: Failure | None,
    *,
    partition: TopicIdPartition,
    offset: int,
    error: BaseException,
    kind: FailureKind,
    policy: RetryPolicy,
    now: float,
    jitter: float,
) -> Failure:
    """The failure as it stands after one more try; `jitter` is between 0 and 1.

    Attempts of one record and one kind add up. A transient failure in between doesn't use up the tries
    of an unknown one, and isn't cut short by them.
    """
    same = earlier is not None and earlier.offset == offset and earlier.kind is kind
    attempt = earlier.attempt + 1 if same and earlier is not None else 1
    if kind is FailureKind.TRANSIENT:
        # 2**20 half seconds are beyond any cap, and a float has an end.
        full = min(policy.transient_cap_s, policy.transient_base_s * 2.0 ** min(attempt - 1, 20))
        delay = full * (0.5 + 0.5 * jitter)
    else:
        delay = 2.0**attempt
    return Failure(
        partition=partition,
        offset=offset,
        kind=kind,
        attempt=attempt,
        first_failed_at=earlier.first_failed_at if same and earlier is not None else now,
        last_failed_at=now,
        next_try_at=now + delay,
        error_type=type(error).__name__,
        error=reason_of(error),
    )


def is_exhausted(failure: Failure, policy: RetryPolicy) -> bool:
    """Whether the record has had its tries and is to be dead-lettered."""
    return failure.kind is FailureKind.UNKNOWN and failure.attempt >= policy.max_retries


def reason_of(error: BaseException) -> str:
    """One line for people; cut, because an error may quote a payload."""
    text = error.reason if isinstance(error, InvalidMessage) else str(error)
    line = " ".join(text.split()) or type(error).__name__
    return line if len(line) <= MAX_REASON else line[: MAX_REASON - 1] + "…"


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When dead letters stop what they come from: a partition, or a consumer as a whole.

    Within `window_s`: more than `max_dead_letters`, or more than `max_ratio` of at least `min_records`
    records. At any rate, however slow: `max_in_a_row` without one good record in between. The minimums let
    a small burst of bad records, or the few of a quiet stream, through whatever their share is.
    """

    window_s: float = 60.0
    max_dead_letters: int = 10_000
    max_ratio: float = 0.5
    min_records: int = 500
    max_in_a_row: int = 500


@dataclass(frozen=True, slots=True)
class HandledCounts:
    """Records that were handled: how many, how many of them are dead, and how many of the last in a row."""

    records: int
    dead: int = 0
    dead_at_end: int = 0


class BreakerBound(Enum):
    """Which of its bounds a breaker found passed."""

    COUNT = "count"
    RATIO = "ratio"
    IN_A_ROW = "in a row"


# A partition with fewer dead letters than this is not what made a consumer's breaker stop.
BLAMED_FROM = 10
# So soon after its consumer's breaker stopped others, so few in a row stop a partition.
WARY_S = 60.0
WARY_IN_A_ROW = 50


class Breaker:
    """The last window's records and dead letters, by second, and how many of the last are dead."""

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self.stopped_at = -math.inf
        self.reset()

    def reset(self) -> None:
        """Begin anew: what was counted is dealt with."""
        self._seconds: deque[tuple[int, int, int]] = deque()
        self._records = 0
        self._dead = 0
        self.in_a_row = 0

    def observe(self, passed: HandledCounts, now: float) -> tuple[BreakerBound, str] | None:
        """Count what passed; the ground to stop and its words, or None."""
        second = int(now)
        counted, dead = passed.records, passed.dead
        if self._seconds and self._seconds[-1][0] == second:
            _, earlier, earlier_dead = self._seconds.pop()
            counted, dead = counted + earlier, dead + earlier_dead
        self._seconds.append((second, counted, dead))
        self._records += passed.records
        self._dead += passed.dead
        if passed.dead < passed.records:
            self.in_a_row = passed.dead_at_end
        else:
            self.in_a_row += passed.dead
        self._trim(now)
        return self._verdict()

    def has_share_in(self, ground: BreakerBound, now: float, *, least: int = 1) -> bool:
        """Whether what this one counted is such that its consumer stops on this ground."""
        self._trim(now)
        if ground is BreakerBound.IN_A_ROW:
            return self.in_a_row >= least
        if ground is BreakerBound.RATIO:
            return self._dead >= least and self._dead > self._policy.max_ratio * self._records
        return self._dead >= least

    def _trim(self, now: float) -> None:
        while self._seconds and self._seconds[0][0] <= now - self._policy.window_s:
            _, counted, dead = self._seconds.popleft()
            self._records -= counted
            self._dead -= dead

    def _verdict(self) -> tuple[BreakerBound, str] | None:
        policy = self._policy
        window = f"in {policy.window_s:g} s"
        if self.in_a_row >= policy.max_in_a_row:
            return BreakerBound.IN_A_ROW, f"{self.in_a_row} dead letters in a row"
        if self._dead > policy.max_dead_letters:
            text = f"{self._dead} dead letters {window}, more than {policy.max_dead_letters}"
            return BreakerBound.COUNT, text
        if self._records >= policy.min_records and self._dead > policy.max_ratio * self._records:
            return BreakerBound.RATIO, f"{self._dead} of {self._records} records {window} were dead letters"
        return None


K = TypeVar("K", bound=Hashable)


def judge(
    *,
    consumer: Breaker,
    partitions: Mapping[K, Breaker],
    passed: Mapping[K, HandledCounts],
    together: HandledCounts,
    now: float,
) -> dict[K, str]:
    """Which partitions must stop after what passed, and why.

    Each is judged by itself, and all of a consumer's together: poison that is spread over twelve
    partitions is little in each of them. What stops for all is only the partitions with a share in it. Those
    that come to the same poison a little later stop sooner, or each would add as much again.
    """
    stopped: dict[K, str] = {}
    is_wary = 0 <= now - consumer.stopped_at < WARY_S
    for key, one in passed.items():
        breaker = partitions[key]
        verdict = breaker.observe(one, now)
        if verdict is not None:
            stopped[key] = verdict[1]
        elif is_wary and breaker.has_share_in(BreakerBound.IN_A_ROW, now, least=WARY_IN_A_ROW):
            stopped[key] = f"{breaker.in_a_row} dead letters in a row, as others of the consumer had before"
    found = consumer.observe(together, now)
    if found is None:
        return stopped
    ground, text = found
    for least in (BLAMED_FROM, 1):
        blamed = [key for key, one in partitions.items() if one.has_share_in(ground, now, least=least)]
        if blamed:
            break
    consumer.reset()
    if blamed:
        consumer.stopped_at = now
    return dict.fromkeys(blamed, f"{text} over the consumer's partitions") | stopped
