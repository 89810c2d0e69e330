"""One page's connection as the hub sees it: a bounded queue where the newest frame wins."""

from __future__ import annotations

import asyncio
from collections import deque

from gdsconsole.live.authorization import Grant
from gdsconsole.live.frames import OutFrame

QUEUED_FRAMES = 8


class Socket:
    """Frames wait here for a connection to take them; a slow one loses the oldest and is told so.

    Used on one event loop. `grant` is replaced when it is checked again; `close_code` ends it.
    """

    def __init__(self, session_key: str, grant: Grant, *, now: float, capacity: int = QUEUED_FRAMES) -> None:
        self.session_key = session_key
        self.grant = grant
        self.checked_at = now
        self.offered_at = now
        self.close_code: int | None = None
        self.dropped = 0
        self._capacity = capacity
        self._queue: deque[OutFrame] = deque()
        self._gap = False
        self._ready = asyncio.Event()

    def __len__(self) -> int:
        return len(self._queue)

    def offer(self, frame: OutFrame) -> None:
        """Queue a frame, in place of the oldest where the queue is full."""
        if self.close_code is not None:
            return
        if len(self._queue) >= self._capacity:
            self._queue.popleft()
            self.dropped += 1
            self._gap = True
        self._queue.append(frame)
        self._ready.set()

    def close(self, code: int) -> None:
        """End the connection with this code; what is queued is not for it any more."""
        self.close_code = code
        self._queue.clear()
        self._ready.set()

    async def next_text(self) -> str | None:
        """Wait for the next frame's text; None when the connection is to be closed."""
        while not self._queue:
            if self.close_code is not None:
                return None
            self._ready.clear()
            await self._ready.wait()
        gap, self._gap = self._gap, False
        return self._queue.popleft().text(gap=gap)
