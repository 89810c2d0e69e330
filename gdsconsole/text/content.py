"""A message's bytes as something a person can read (pure).

What is shown is what is stored. UTF-8 is text, with every character that nobody would see written out
(`visible`); a JSON object or array may be laid out, which adds white space and changes nothing; all else
is hexadecimal. `Visible` texts escape themselves where they become markup.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass

from gdsconsole.text.json_layout import laid_out
from gdsconsole.text.visible import LAYOUT, Visible, hidden_count, visible

PREVIEW_BYTES = 65_536
KEY_PREVIEW_CHARACTERS = 80
HEADER_BYTES = 16_384
HEADER_HEX_BYTES = 256
# A text of which more has to be written out is read better as bytes.
MOST_HIDDEN = 2_000
# The ways to show bytes, the first that a value has being the usual one.
VIEWS = {"json": "JSON", "text": "text", "hex": "hex"}


@dataclass(frozen=True, slots=True)
class Preview:
    """Up to `limit` bytes of a value, each way that it can be shown; None bytes have no preview.

    `text` is None where the bytes are not UTF-8, or hardly anything but control characters; `pretty`, where
    they are no JSON object or array.
    """

    size: int
    text: Visible | None
    pretty: Visible | None
    hex: str
    cut: bool

    @property
    def views(self) -> list[str]:
        """The names of the ways to show it, the usual one first."""
        there = {"json": self.pretty is not None, "text": self.text is not None, "hex": True}
        return [name for name, is_there in there.items() if is_there]


@dataclass(frozen=True, slots=True)
class HeaderRow:
    """A header; `value` is None for null. `size` is how many bytes there are where not all are shown."""

    name: Visible
    value: str | None
    size: int | None

    @property
    def has_lines(self) -> bool:
        return "\n" in (self.value or "")


def preview(value: bytes | None, *, limit: int = PREVIEW_BYTES) -> Preview | None:
    if value is None:
        return None
    shown = value[:limit]
    is_cut = len(value) > limit
    text = _text(shown, cut=is_cut)
    if text is not None and hidden_count(text, keep=LAYOUT) > MOST_HIDDEN:
        text = None
    pretty = laid_out(text) if text is not None and not is_cut else None
    return Preview(
        size=len(value),
        text=None if text is None else visible(text, keep=LAYOUT),
        pretty=None if pretty is None else visible(pretty, keep=LAYOUT),
        hex=hex_dump(shown),
        cut=is_cut,
    )


def header_rows(pairs: Iterable[tuple[str, bytes | None]]) -> list[HeaderRow]:
    """A record's headers in their order, their values with the lines that they have."""
    return [_header(name, value) for name, value in pairs]


def hex_dump(value: bytes) -> str:
    """Lines of `offset  16 bytes in hex  printable ASCII`, like `hexdump -C`."""
    lines = []
    for start in range(0, len(value), 16):
        row = value[start : start + 16]
        digits = " ".join(f"{byte:02x}" for byte in row[:8]).ljust(23)
        digits += "  " + " ".join(f"{byte:02x}" for byte in row[8:]).ljust(23)
        printable = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{start:08x}  {digits}  {printable}")
    return "\n".join(lines)


def one_line(value: bytes | None, *, limit: int = KEY_PREVIEW_CHARACTERS) -> str | None:
    """At most `limit` characters in one line: its text where it is text, else `0x…`; None stays None."""
    if value is None:
        return None
    text = _text(value[: limit * 4], cut=len(value) > limit * 4)
    if text is None:
        digits = value[: limit // 2].hex()
        return f"0x{digits}…" if len(value) > limit // 2 else f"0x{digits}"
    return visible(text if len(text) <= limit else text[: limit - 1] + "…")


def text_or_base64(value: bytes | None) -> str | None:
    """For JSON output: the text where it is text, else `base64:…`, which no information is lost in."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(value).decode()


def _text(value: bytes, *, cut: bool) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        # A cut may fall inside a character; anything earlier is not text.
        if cut and error.start >= len(value) - 3 and error.reason == "unexpected end of data":
            return value[: error.start].decode()
        return None


def _header(name: str, value: bytes | None) -> HeaderRow:
    if value is None:
        return HeaderRow(visible(name), None, None)
    text = _text(value[:HEADER_BYTES], cut=len(value) > HEADER_BYTES)
    if text is None or hidden_count(text, keep=LAYOUT) > MOST_HIDDEN:
        limit, shown = HEADER_HEX_BYTES, f"0x{value[:HEADER_HEX_BYTES].hex()}"
    else:
        limit, shown = HEADER_BYTES, visible(text, keep=LAYOUT)
    return HeaderRow(visible(name), shown, len(value) if len(value) > limit else None)
