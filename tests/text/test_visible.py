from __future__ import annotations

import unicodedata

import pytest
from django.template import Context, Template
from hypothesis import given
from hypothesis import strategies as st

from gdsconsole.text.visible import LAYOUT, is_hidden, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("prod-db-01", "prod-db-01"),
        ("Größe 測量 😀 é", "Größe 測量 😀 é"),
        ("C:\\new", "C:\\new"),
        ("a\nb\r\n\tc", "a\\nb\\r\\n\\tc"),
        ("\x1b[2J\x1b]0;owned\x07", "\\x1b[2J\\x1b]0;owned\\x07"),
        ("\x9b2J\x90q\x85", "\\x9b2J\\x90q\\x85"),
        ("a\u202eb\u2066c", "a\\u202eb\\u2066c"),
        ("\ufeffa\u200bb\u200dc\xa0d\xade", "\\ufeffa\\u200bb\\u200dc\\xa0d\\xade"),
        ("\u2028\u2029\u3000", "\\u2028\\u2029\\u3000"),
        ("a\ufe0f\u3164\u115f\u2800", "a\\ufe0f\\u3164\\u115f\\u2800"),
        ("\U000e0041\U000e0100", "\\U000e0041\\U000e0100"),
        ("\ud800\udcff", "\\ud800\\udcff"),
        ("\0", "\\x00"),
    ],
)
def test_what_nobody_would_see_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text(alphabet=st.characters(codec=None), max_size=200))
def test_nothing_that_steers_its_reader_is_left(text: str) -> None:
    shown = visible(text)
    assert not any(is_hidden(one) for one in shown)
    assert not any(unicodedata.category(one) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for one in shown)
    shown.encode()


def test_a_block_keeps_its_lines_and_its_indentation() -> None:
    assert visible("at a\r\n\tat b", keep=LAYOUT) == "at a\\r\n\tat b"


def test_as_markup_an_escape_is_marked_and_named_and_the_text_is_text() -> None:
    written = Template("{{ text }}").render(Context({"text": visible("<b>\u200d&\x1b")}))
    assert written == (
        '&lt;b&gt;<span class="hidden-char" title="U+200D ZERO WIDTH JOINER">\\u200d</span>&amp;'
        '<span class="hidden-char" title="U+001B ESCAPE">\\x1b</span>'
    )
