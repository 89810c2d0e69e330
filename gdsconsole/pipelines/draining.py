"""How a running consumer learns that it should drain."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType


class StopSignals:
    """Whether the process was asked to stop: the first signal asks for a drain, the second ends it."""

    def __init__(self, numbers: Sequence[signal.Signals]) -> None:
        self.asked = False
        self._numbers = numbers

    def __call__(self, number: int, _: FrameType | None) -> None:
        self.asked = True
        # No handler for a second one: it would have to wait for whatever call of the client is on its way.
        for each in self._numbers:
            signal.signal(each, signal.SIG_DFL)


@contextmanager
def stop_signals(*numbers: signal.Signals) -> Iterator[StopSignals]:
    """Handle these signals as `StopSignals`, and give them back afterwards. Main thread only."""
    asked = StopSignals(numbers)
    earlier = {number: signal.signal(number, asked) for number in numbers}
    try:
        yield asked
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
