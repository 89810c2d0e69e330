from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdsconsole.text.json_layout import DEEPEST, laid_out


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"a":1.10,"a":1e400,"b":-0.0}', '{\n  "a": 1.10,\n  "a": 1e400,\n  "b": -0.0\n}'),
        ('{"n":123456789012345678901234567890}', '{\n  "n": 123456789012345678901234567890\n}'),
        (
            '{"\\u0041":"\\/\\ud83d\\ude00 \\n","b":[]}',
            '{\n  "\\u0041": "\\/\\ud83d\\ude00 \\n",\n  "b": []\n}',
        ),
        ('{"b":1,"a":2}', '{\n  "b": 1,\n  "a": 2\n}'),
        ("[NaN,{},[[1]]]", "[\n  NaN,\n  {},\n  [\n    [\n      1\n    ]\n  ]\n]"),
        ('{"a": 1, "b": 2}', '{\n  "a": 1,\n  "b": 2\n}'),
        ('{ "a"  :1 ,"b":[ ] }', '{\n  "a"  : 1 ,\n  "b": [ ] \n}'),
        # It has lines of its own: they are what was written.
        ('{\n\t"a" : 1}\n', '{\n\t"a" : 1}\n'),
        ('{"a":1}\n', '{\n  "a": 1\n}\n'),
        ('{"a,b:{":"}]"}', '{\n  "a,b:{": "}]"\n}'),
    ],
)
def test_white_space_is_all_that_is_added(text: str, shown: str) -> None:
    assert laid_out(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "1.10",
        '"text"',
        "null",
        "{",
        '{"a":}',
        "{}x",
        "[" * 100000,
        "[1,]",
        "\ufeff{}",
        "{\xa0}",
        "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1),
    ],
)
def test_what_is_no_object_or_array_has_no_layout(text: str) -> None:
    assert laid_out(text) is None


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
separators = st.sampled_from([(",", ":"), (", ", ": "), (" ,  ", "  :"), (",\t", " : ")])


@given(
    value=st.lists(values, max_size=4) | st.dictionaries(st.text(max_size=5), values, max_size=4),
    between=separators,
    escaped=st.booleans(),
)
def test_any_json_keeps_every_character_in_its_order(
    value: Any, between: tuple[str, str], escaped: bool
) -> None:
    text = json.dumps(value, separators=between, ensure_ascii=escaped)
    shown = laid_out(text)
    assert shown is not None
    rest = iter(shown)
    assert all(one in rest for one in text), "the text is not a part of what is shown"
    strings = re.compile(r'("(?:[^"\\]|\\.)*")')
    before, after = strings.split(text), strings.split(shown)
    assert before[1::2] == after[1::2]
    assert ["".join(part.split()) for part in before[::2]] == ["".join(part.split()) for part in after[::2]]
