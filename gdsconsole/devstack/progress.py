"""What `up` says while it works: one line for each finished step with its time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TextIO

from gdsconsole.text.visible import visible

STILL_EVERY_S = 5.0


@dataclass(slots=True)
class Step:
    what: str
    began: float
    detail: str = ""


@dataclass(slots=True)
class Progress:
    out: TextIO
    _open: list[Step] = field(default_factory=list)
    _last: float = field(default_factory=time.monotonic)

    def tell(self, line: str) -> None:
        """One line for people, at once; what a part wrote into its log does not steer their terminal."""
        self._last = time.monotonic()
        with suppress(OSError):  # a terminal that was closed must not keep a stop from its end
            self.out.write(f"{visible(line)}\n")
            self.out.flush()

    @contextmanager
    def step(self, what: str) -> Iterator[Step]:
        """Tell of the step when it is done; the body may set `detail` as it learns more."""
        step = Step(what, time.monotonic())
        self._open.append(step)
        try:
            yield step
            took = time.monotonic() - step.began
            self.tell(f"  {took:5.1f} s  {what}" + (f": {step.detail}" if step.detail else ""))
        finally:
            self._open.remove(step)

    def tell_if_quiet(self) -> None:
        """Name the steps under way when nothing was said for some seconds."""
        if self._open and time.monotonic() - self._last > STILL_EVERY_S:
            under_way = [step.what + (f" ({step.detail})" if step.detail else "") for step in self._open]
            self.tell(f"         …  {', '.join(under_way)}")
