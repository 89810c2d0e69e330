"""Lines of a stream of any length, in bounded memory and without waiting for more than there is."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

# More than any topic takes; the limit keeps a stream without line ends from filling the memory.
MAX_LINE_BYTES = 16 << 20
_CHUNK_BYTES = 1 << 18


class Line(NamedTuple):
    """A line's number, from 1, and its bytes without the line end; None: longer than the limit."""

    number: int
    value: bytes | None


def read_lines(
    stream: io.BufferedIOBase,
    *,
    at_most: int,
    max_line_bytes: int = MAX_LINE_BYTES,
    waiting: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Iterator[list[Line]]:
    """Up to `at_most` lines at a time, as soon as the stream has them; blank lines are left out.

    `waiting` wraps every read, which blocks when the stream has nothing.
    """
    number, rest, too_long = 0, b"", False
    lines: list[Line] = []
    while True:
        with waiting():
            chunk = stream.read1(_CHUNK_BYTES)
        *ended, rest = (rest + chunk).split(b"\n")
        if not chunk and (rest or too_long):
            ended, rest = [rest], b""
        for value in ended:
            number += 1
            if too_long or len(value) > max_line_bytes:
                lines.append(Line(number, None))
            elif value := value.strip():
                lines.append(Line(number, value))
            too_long = False
            if len(lines) == at_most:
                yield lines
                lines = []
        if len(rest) > max_line_bytes:
            rest, too_long = b"", True
        if lines:
            yield lines
            lines = []
        if not chunk:
            return
