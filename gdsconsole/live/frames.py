"""What goes over a socket: one frame's JSON, made once for everybody who may see the same."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from gdsconsole.live.publish import Event


class _Out(msgspec.Struct, frozen=True):
    seq: int
    at: float
    gap: bool
    live: bool
    events: list[Event]


@dataclass(slots=True, eq=False)
class OutFrame:
    """A frame for all sockets with the same permissions; its text is made at most twice.

    `seq` counts this process' frames; `at` is when its newest event was published, epoch seconds;
    `gap`: something is missing before it, read the page again; `live`: Redis answers.
    """

    seq: int
    at: float
    gap: bool
    live: bool
    events: list[Event]
    _plain: str | None = None
    _after_gap: str | None = None

    def text(self, *, gap: bool) -> str:
        if gap and not self.gap:
            self._after_gap = self._after_gap or self._encoded(True)
            return self._after_gap
        self._plain = self._plain or self._encoded(self.gap)
        return self._plain

    def _encoded(self, gap: bool) -> str:
        return msgspec.json.encode(_Out(self.seq, self.at, gap, self.live, self.events)).decode()


def visible(found: Iterable[Event], allowed: frozenset[str]) -> list[Event]:
    return [event for event in found if event.type in allowed]
