from __future__ import annotations

import base64

import pytest

from dlq.models import pack_headers, unpack_headers
from gdsconsole.text.content import PREVIEW_BYTES, header_rows, hex_dump, one_line, preview, text_or_base64


def test_text_json_and_hex_of_a_value() -> None:
    shown = preview(b'{"value":1.10,"value":NaN,"tags":{}}')
    assert shown is not None
    assert shown.text == '{"value":1.10,"value":NaN,"tags":{}}'
    # Digits and the duplicate name are as they were sent: they may be the very cause.
    assert shown.pretty == '{\n  "value": 1.10,\n  "value": NaN,\n  "tags": {}\n}'
    assert shown.size == 36
    assert not shown.cut


def test_hex_dump_has_offset_bytes_and_printable_characters() -> None:
    assert hex_dump(b"0123456789abcdefX\x00\xff") == (
        "00000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  0123456789abcdef\n"
        "00000010  58 00 ff                                          X.."
    )


def test_bytes_that_are_no_text_have_hex_alone() -> None:
    shown = preview(b"\xff\xfe\x00")
    assert shown is not None
    assert shown.text is None
    assert shown.pretty is None
    assert shown.hex.startswith("00000000  ff fe 00")


def test_an_empty_value_is_not_a_tombstone() -> None:
    assert preview(None) is None
    empty = preview(b"")
    assert empty is not None
    assert empty.text == ""
    assert empty.size == 0


def test_a_preview_is_cut_at_64_kb_and_inside_no_character() -> None:
    shown = preview("é".encode() * PREVIEW_BYTES, limit=PREVIEW_BYTES - 1)
    assert shown is not None
    assert shown.cut
    assert shown.size == 2 * PREVIEW_BYTES
    assert shown.text == "é" * (PREVIEW_BYTES // 2 - 1)
    assert shown.pretty is None


@pytest.mark.parametrize("value", [b"{" * 100_000, b"[" * 50_000 + b"]" * 50_000, b'{"a":', b"{}x"])
def test_hostile_json_is_shown_as_text(value: bytes) -> None:
    shown = preview(value, limit=1_000_000)
    assert shown is not None
    assert shown.pretty is None
    assert shown.text == value.decode()


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (None, None),
        (b"", ""),
        (b"postgresql:prod-db-01", "postgresql:prod-db-01"),
        (b"\xff\x00", "0xff00"),
        ("a\u202eb".encode(), "a\\u202eb"),
        (b"two\nlines", "two\\nlines"),
        (b"k" * 200, "k" * 79 + "…"),
        (b"\xff" * 200, "0x" + "ff" * 40 + "…"),
    ],
)
def test_a_key_in_one_line(value: bytes | None, line: str | None) -> None:
    assert one_line(value) == line


TRACE = "java.lang.IllegalStateException: no\n\tat org.example.Sink.put(Sink.java:42)\r\n"


@pytest.mark.parametrize(
    ("value", "views", "shown", "line"),
    [
        (b"plain", ["text", "hex"], "plain", "plain"),
        (b"1.10", ["text", "hex"], "1.10", "1.10"),
        (b"007", ["text", "hex"], "007", "007"),
        (b'"1e400"', ["text", "hex"], '"1e400"', '"1e400"'),
        (b'{"a":1.10}', ["json", "text", "hex"], '{\n  "a": 1.10\n}', '{"a":1.10}'),
        (b'{"a":1,"a":1e400}', ["json", "text", "hex"], '{\n  "a": 1,\n  "a": 1e400\n}', '{"a":1,"a":1e400}'),
        (
            rb'{"value":1.10,"n":1e400,"a":1,"a":2,"e":"\u0041"}',
            ["json", "text", "hex"],
            '{\n  "value": 1.10,\n  "n": 1e400,\n  "a": 1,\n  "a": 2,\n  "e": "\\u0041"\n}',
            r'{"value":1.10,"n":1e400,"a":1,"a":2,"e":"\u0041"}',
        ),
        (b'{\n\t"a": 1\n}', ["json", "text", "hex"], '{\n\t"a": 1\n}', '{\\n\\t"a": 1\\n}'),
        (
            '{"a":"b\u200dc"}'.encode(),
            ["json", "text", "hex"],
            '{\n  "a": "b\\u200dc"\n}',
            '{"a":"b\\u200dc"}',
        ),
        (
            TRACE.encode(),
            ["text", "hex"],
            TRACE.replace("\r", "\\r"),
            TRACE.replace("\t", "\\t").replace("\r", "\\r").replace("\n", "\\n"),
        ),
        ("a\xa0b\u200dc".encode(), ["text", "hex"], "a\\xa0b\\u200dc", "a\\xa0b\\u200dc"),
        (b"\xef\xbb\xbf{}", ["text", "hex"], "\\ufeff{}", "\\ufeff{}"),
        (b"\x00\x01", ["text", "hex"], "\\x00\\x01", "\\x00\\x01"),
        (b"\xff\x00", ["hex"], None, "0xff00"),
        (b"\x00" * 10_000, ["hex"], None, None),
    ],
)
def test_what_is_shown_is_what_is_stored(
    value: bytes, views: list[str], shown: str | None, line: str | None
) -> None:
    found = preview(value)
    assert found is not None
    assert found.views == views
    assert (found.pretty or found.text) == shown
    if line is not None:
        assert one_line(value) == line


def test_headers_are_whole_and_have_their_lines() -> None:
    pairs = [("x\x1b", TRACE.encode()), ("null", None), ("bytes", b"\xff" * 300), ("long", b"x" * 20_000)]
    trace, null, digits, long = header_rows(pairs)
    assert (trace.name, trace.value, trace.has_lines) == ("x\\x1b", TRACE.replace("\r", "\\r"), True)
    assert (null.value, null.size) == (None, None)
    assert (digits.value, digits.size) == ("0x" + "ff" * 256, 300)
    assert (long.value, long.size) == ("x" * 16_384, 20_000)


def test_json_output_loses_no_byte() -> None:
    assert text_or_base64(None) is None
    assert text_or_base64(b"plain") == "plain"
    encoded = text_or_base64(b"\xff\x00")
    assert encoded is not None
    assert base64.b64decode(encoded.removeprefix("base64:")) == b"\xff\x00"


def test_headers_keep_order_duplicates_nulls_and_bytes() -> None:
    pairs = [("b", b"\xff\x00"), ("a", None), ("b", b""), ("", b"x")]
    assert unpack_headers(pack_headers(pairs)) == pairs
