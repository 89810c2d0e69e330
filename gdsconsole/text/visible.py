"""Text from outside for somebody to read: what can't be seen, or steers its reader, is written out. Pure.

A name with an escape sequence clears a terminal, one with a line break forges a row, one with a bidi
control turns round what stands beside it, and a zero-width character makes two names of one. All of those
are shown as escapes such as `\\x1b` and `\\u202e`, and marked as such where there is markup. Nothing is left
out or put in otherwise. A backslash stays one: `\\n` as two characters looks like the escape, and JSON output
tells the two apart.
"""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterator

# What a block of text keeps as it is: its lines, and the indentation in them.
LAYOUT = "\n\t"
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
# Names that Unicode leaves to an annex.
_CONTROLS = {
    "\0": "NULL",
    "\a": "BELL",
    "\b": "BACKSPACE",
    "\t": "TAB",
    "\n": "LINE FEED",
    "\r": "CARRIAGE RETURN",
    "\x1b": "ESCAPE",
    "\x7f": "DELETE",
    "\x85": "NEXT LINE",
    "\x9b": "CONTROL SEQUENCE INTRODUCER",
    "\x9d": "OPERATING SYSTEM COMMAND",
}
# Printable by Unicode's categories, and yet nothing is seen of them: fillers, joiners, selectors.
_BLANK = frozenset(
    chr(code)
    for first, last in (
        (0x034F, 0x034F),
        (0x115F, 0x1160),
        (0x17B4, 0x17B5),
        (0x180B, 0x180F),
        (0x2800, 0x2800),
        (0x3164, 0x3164),
        (0xFE00, 0xFE0F),
        (0xFFA0, 0xFFA0),
        (0xE0100, 0xE01EF),
    )
    for code in range(first, last + 1)
)


class Visible(str):
    """The text with every hidden character escaped; as markup, the escapes are marked and named."""

    _source: str
    _keep: str

    def __new__(cls, text: str, *, keep: str = "") -> Visible:
        made = super().__new__(cls, "".join(shown for shown, _ in _pieces(text, keep)))
        made._source, made._keep = text, keep
        return made

    def __html__(self) -> str:
        return "".join(
            f'<span class="hidden-char" title="{html.escape(_name(hidden))}">{shown}</span>'
            if hidden
            else html.escape(shown)
            for shown, hidden in _pieces(self._source, self._keep)
        )


def visible(text: str, *, keep: str = "") -> Visible:
    """Text that steers nothing, on one line unless `keep` is `LAYOUT`."""
    return Visible(text, keep=keep)


def hidden_count(text: str, *, keep: str = "") -> int:
    """How many characters of the text would be escaped."""
    return sum(1 for _, hidden in _pieces(text, keep) if hidden)


def is_hidden(one: str) -> bool:
    """Whether nothing is seen of the character, or it steers what shows it."""
    return not one.isprintable() or one in _BLANK


def _pieces(text: str, keep: str) -> Iterator[tuple[str, str]]:
    """(what is shown, the character that it stands for); of a stretch that is shown as it is, (it, "")."""
    if text.isprintable() and _BLANK.isdisjoint(text):
        yield text, ""
        return
    begin = 0
    for at, one in enumerate(text):
        if is_hidden(one) and one not in keep:
            if begin < at:
                yield text[begin:at], ""
            yield _escape(one), one
            begin = at + 1
    if begin < len(text):
        yield text[begin:], ""


def _escape(one: str) -> str:
    code = ord(one)
    if one in _SHORT:
        return _SHORT[one]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _name(one: str) -> str:
    """`U+200D ZERO WIDTH JOINER`."""
    return f"U+{ord(one):04X} {unicodedata.name(one, '') or _CONTROLS.get(one, 'control character')}"
