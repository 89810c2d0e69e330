"""A message's bytes as something a person can read (pure). Never markup: the caller escapes it."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

PREVIEW_BYTES = 65_536
KEY_PREVIEW_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class Preview:
    """Up to 64 kB of a value. `text` is None where the bytes are not UTF-8; None bytes have no preview."""

    size: int
    text: str | None
    pretty: str | None
    hex: str
    cut: bool


def preview(value: bytes | None, *, limit: int = PREVIEW_BYTES) -> Preview | None:
    if value is None:
        return None
    shown = value[:limit]
    return Preview(
        size=len(value),
        text=_text(shown, cut=len(value) > limit),
        pretty=_pretty(value) if len(value) <= limit else None,
        hex=hex_dump(shown),
        cut=len(value) > limit,
    )


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
    """A key or header value in one line: its text where it is text, else `0x…`; None stays None."""
    if value is None:
        return None
    text = _text(value[: limit * 4], cut=len(value) > limit * 4)
    if text is None or not text.isprintable():
        digits = value[: limit // 2].hex()
        return f"0x{digits}…" if len(value) > limit // 2 else f"0x{digits}"
    return text if len(text) <= limit else text[: limit - 1] + "…"


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


def _pretty(value: bytes) -> str | None:
    """Indented JSON, where the value is a JSON object or array; numbers and duplicate names stay."""
    if value[:1] not in (b"{", b"["):
        return None
    try:
        parsed = json.loads(
            value,
            parse_float=_Verbatim,
            parse_int=_Verbatim,
            parse_constant=_Verbatim,
            object_pairs_hook=_Pairs,
        )
        return _indented(parsed, "")
    except (ValueError, RecursionError):
        return None


class _Verbatim(str):
    """A JSON number as it was written."""

    __slots__ = ()


class _Pairs(list[tuple[str, object]]):
    """A JSON object with its duplicate names."""


def _indented(node: object, indent: str) -> str:
    deeper = indent + "  "
    if isinstance(node, _Pairs):
        if not node:
            return "{}"
        items = [
            f"{deeper}{json.dumps(name, ensure_ascii=False)}: {_indented(item, deeper)}"
            for name, item in node
        ]
        return "{\n" + ",\n".join(items) + f"\n{indent}}}"
    if isinstance(node, list):
        if not node:
            return "[]"
        return "[\n" + ",\n".join(deeper + _indented(item, deeper) for item in node) + f"\n{indent}]"
    return str(node) if isinstance(node, _Verbatim) else json.dumps(node, ensure_ascii=False)
