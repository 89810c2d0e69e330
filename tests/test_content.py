from __future__ import annotations

import base64

import pytest

from dlq.models import pack_headers, unpack_headers
from gdsconsole.content import PREVIEW_BYTES, hex_dump, one_line, preview, text_or_base64


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
        ("a\u202eb".encode(), "0x61e280ae62"),
        (b"two\nlines", "0x74776f0a6c696e6573"),
        (b"k" * 200, "k" * 79 + "…"),
        (b"\xff" * 200, "0x" + "ff" * 40 + "…"),
    ],
)
def test_a_key_in_one_line(value: bytes | None, line: str | None) -> None:
    assert one_line(value) == line


def test_json_output_loses_no_byte() -> None:
    assert text_or_base64(None) is None
    assert text_or_base64(b"plain") == "plain"
    encoded = text_or_base64(b"\xff\x00")
    assert encoded is not None
    assert base64.b64decode(encoded.removeprefix("base64:")) == b"\xff\x00"


def test_headers_keep_order_duplicates_nulls_and_bytes() -> None:
    pairs = [("b", b"\xff\x00"), ("a", None), ("b", b""), ("", b"x")]
    assert unpack_headers(pack_headers(pairs)) == pairs
