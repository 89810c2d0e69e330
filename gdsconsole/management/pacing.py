"""How many records are due now, for a steady rate without drift (pure)."""

from __future__ import annotations

# Behind by more than this, what was missed is given up: catching up would be a burst, not a rate.
MAX_BEHIND_S = 1.0


class Pace:
    """A steady rate from `started` on. Times are seconds of one monotonic clock.

    What is due is counted from the start, so errors of single waits don't add up.
    """

    def __init__(self, rate: float, *, started: float) -> None:
        self.rate = rate
        self._started = started
        self._taken = 0

    def due(self, now: float) -> int:
        """How many more records belong to the time until `now`."""
        behind = (now - self._started) * self.rate - self._taken
        # One more than the bound, because the fraction of a record that isn't due yet is no lag.
        most = self.rate * MAX_BEHIND_S + 1
        if behind > most:
            self._started += (behind - most) / self.rate
            behind = most
        return max(0, int(behind + 1e-6))

    def take(self, count: int) -> None:
        """These records have been made."""
        self._taken += count

    def wait_s(self, now: float) -> float:
        """Seconds until the next record is due."""
        return max(0.0, self._started + (self._taken + 1) / self.rate - now)
