"""What a running consumer says of itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import Enum


class ConsumerState(Enum):
    STARTING = "starting"
    """Has not been told its partitions yet."""
    RUNNING = "running"
    RETRYING = "retrying"
    """At least one partition waits for its next try."""
    HALTED = "halted"
    """All its partitions stand, or the consumer itself stopped, for a reason that needs a person."""
    DRAINING = "draining"


@dataclass(slots=True)
class Counters:
    """Counts since the consumer started. `lost` are records that retention deleted before they were read."""

    processed: int = 0
    dead_letters: int = 0
    parked: int = 0
    retries: int = 0
    batches: int = 0
    commits: int = 0
    commit_failures: int = 0
    fenced: int = 0
    rebalances: int = 0
    lost: int = 0

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ConsumerSnapshot:
    """A consumer at one moment. Times are seconds since the epoch; None is unknown or never."""

    state: ConsumerState
    reason: str
    partitions: Sequence[str]
    waiting: Mapping[str, str]  # partitions that don't run, and why; but for the halted ones
    halted: Mapping[str, str]  # partitions that stand until a person decides, and why
    counters: Mapping[str, int]
    rate_in: float | None  # records a second, over 5 s or the time of two batches
    rate_out: float | None  # what came of them, rows or records a second; None too where nobody counts
    batch_s: float | None  # how long the last batch took
    batch_limit: int
    last_commit_at: float | None
    at: float


# A trouble the client doesn't mention again for so long is over.
TROUBLE_S = 30.0
# What a person must have a chance to see, though all runs well.
NEWS_S = 600.0


@dataclass(slots=True)
class Notice:
    """What is worth telling for a while after it was said."""

    told_for_s: float
    text: str = ""
    at: float = 0.0

    def say(self, text: str, now: float) -> bool:
        """Whether that is news: nothing was worth telling just now."""
        is_news = not self.recent(now)
        self.text, self.at = text, now
        return is_news

    def recent(self, now: float) -> str:
        return self.text if now - self.at < self.told_for_s else ""


def state_of(
    *,
    stopped: str | None,
    is_draining: bool,
    is_assigned: bool,
    held: int,
    halted: Mapping[str, str],
    waiting: Mapping[str, str],
    trouble: str,
) -> tuple[ConsumerState, str]:
    """A consumer's state and the reason, the worst first. Pure.

    `stopped` is why the consumer as a whole stopped, `halted` why some of its `held` partitions stand,
    `waiting` why others wait, `trouble` what its client complains of.
    """
    if stopped is not None:
        return ConsumerState.HALTED, stopped
    if is_draining:
        return ConsumerState.DRAINING, ""
    standing = _standing(halted, held)
    if halted and len(halted) == held:
        return ConsumerState.HALTED, standing
    reasons = [f"{name}: {reason}" for name, reason in waiting.items() if reason]
    if reasons:
        return ConsumerState.RETRYING, reasons[0]
    if halted:
        return ConsumerState.RUNNING, standing
    return (ConsumerState.RUNNING if is_assigned else ConsumerState.STARTING), trouble


def _standing(halted: Mapping[str, str], held: int) -> str:
    """One by name; of more, how many: they are told of one by one elsewhere."""
    if not halted:
        return ""
    name, reason = next(iter(halted.items()))
    return f"{name} halted: {reason}" if len(halted) == 1 else f"{len(halted)} of {held} halted: {reason}"


SHORTEST_S = 1.0
# A consumer's rates are kept every 5 s, so each tells of all that came between two.
RATED_OVER_S = 5.0


class Meter:
    """A count's rate over the last `window_s` seconds, or since it began. Pure, given `now`.

    What counts in bursts, such as a batch every few seconds, needs a window of several of them.
    """

    def __init__(self, window_s: float = SHORTEST_S) -> None:
        self._window_s = window_s
        self._readings: deque[tuple[float, int]] = deque()

    def read(self, count: int, now: float) -> float | None:
        """The rate between the newest reading that is at least `window_s` old, else the oldest, and now."""
        self._readings.append((now, count))
        while len(self._readings) > 2 and self._readings[1][0] <= now - self._window_s:
            self._readings.popleft()
        earlier, counted = self._readings[0]
        if now - earlier < SHORTEST_S:
            return None
        return (count - counted) / (now - earlier)
