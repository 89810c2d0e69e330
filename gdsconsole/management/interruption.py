"""Ctrl-C and SIGTERM for commands that must finish what they began."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):
    """The user asked the command to stop while it waited."""


class Interruption:
    """As a context manager: the first signal asks to stop, a second one ends the process at once.

    The first only sets `requested`, because an exception in the middle of a client's callback would
    lose count of a record. Inside `waiting()` it raises `Interrupted`.
    """

    def __init__(self) -> None:
        self.requested = False
        self._waits = False
        self._before: list[tuple[signal.Signals, signal._HANDLER]] = []

    def __enter__(self) -> Interruption:
        self._before = [(number, signal.signal(number, self._handle)) for number in _SIGNALS]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before:
            signal.signal(number, handler)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """For a block that may wait long and does nothing else."""
        self._waits = True
        try:
            if self.requested:
                raise Interrupted
            yield
        finally:
            self._waits = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        if self._waits:
            raise Interrupted
