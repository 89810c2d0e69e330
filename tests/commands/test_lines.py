from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from gdsconsole.management.lines import Line, read_lines


class InPieces(io.BufferedIOBase):
    """A stream that has these pieces available, one a read."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter([piece for piece in pieces if piece])

    def read1(self, size: int = -1, /) -> bytes:
        return next(self._pieces, b"")


def lines_of(*pieces: bytes, at_most: int = 1000, max_line_bytes: int = 100) -> list[Line]:
    groups = list(read_lines(InPieces(pieces), at_most=at_most, max_line_bytes=max_line_bytes))
    assert all(1 <= len(group) <= at_most for group in groups)
    return [line for group in groups for line in group]


def test_lines_are_numbered_as_an_editor_numbers_them() -> None:
    assert lines_of(b"a\r\n\n  \nb\nlast") == [Line(1, b"a"), Line(4, b"b"), Line(5, b"last")]


def test_nothing_has_no_lines() -> None:
    assert lines_of(b"") == []


def test_a_line_longer_than_the_limit_is_named_and_the_next_one_is_read() -> None:
    long = b"x" * 60
    assert lines_of(b"a\n", long, long, long, b"\nb\n") == [Line(1, b"a"), Line(2, None), Line(3, b"b")]
    assert lines_of(long + long) == [Line(1, None)]
    assert lines_of(long + long + b"\nb") == [Line(1, None), Line(2, b"b")]


def test_groups_are_no_larger_than_asked_for() -> None:
    groups = list(read_lines(io.BytesIO(b"a\n" * 7), at_most=3))
    assert [len(group) for group in groups] == [3, 3, 1]


@given(st.lists(st.binary(max_size=30), max_size=8), st.integers(1, 4))
def test_it_makes_no_difference_how_the_stream_is_cut(pieces: list[bytes], at_most: int) -> None:
    whole = b"".join(pieces)
    expected = [
        Line(number, line.strip()) for number, line in enumerate(whole.split(b"\n"), 1) if line.strip()
    ]
    assert lines_of(*pieces, at_most=at_most, max_line_bytes=1000) == expected


def test_a_line_is_there_as_soon_as_it_was_written() -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as stream:
        groups = read_lines(stream, at_most=1000)
        os.write(writer, b"first\nsec")
        assert next(groups) == [Line(1, b"first")]
        threading.Timer(0.05, lambda: (os.write(writer, b"ond\n"), os.close(writer))).start()
        assert list(groups) == [[Line(2, b"second")]]
