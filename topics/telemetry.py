"""The metric message: what is accepted, and why something is not.

A metric is one JSON object in UTF-8. `decode_metric` is the whole contract: it returns a `Metric` or
raises `InvalidMessage` with a reason that names the field and its value. Loops that decode many
records call `METRIC_DECODER.decode` themselves, catch `DECODE_ERRORS`, and call `decode_metric` only for
the records that failed, so that a good record costs one C call and nothing else.
"""

from __future__ import annotations

import json
import math
import re
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from gdsconsole.kafka.errors import InvalidMessage
from gdsconsole.text.times import without_leap_second

MAX_NAME = 200
MAX_TAGS = 64
MAX_TAG_VALUE = 256
_PREVIEW = 80


class NullValue(InvalidMessage):
    """The record has a key at most, and no value."""


class NotUtf8(InvalidMessage):
    """The bytes are not text."""


class NotJson(InvalidMessage):
    """The text is not one JSON value."""


class MissingField(InvalidMessage):
    """A field every metric has is not there."""


class WrongType(InvalidMessage):
    """A field, or the whole message, is of another type."""


class OutOfRange(InvalidMessage):
    """A field has the right type and a value that can't be used."""


Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
TagValue = Annotated[str, Meta(max_length=MAX_TAG_VALUE)]


class Metric(msgspec.Struct, frozen=True, gc=False):
    """One sample of one metric of one database instance.

    `timestamp` is aware. `value` is finite: JSON has no NaN or Infinity, and the decoder refuses numbers
    beyond the range of a double. Fields the console does not know are ignored here and stay in the
    record's bytes; `extra_fields` reads them.
    """

    timestamp: Annotated[datetime, Meta(tz=True)]
    database_type: Name
    instance_id: Name
    metric_name: Name
    value: float
    tags: Annotated[dict[str, TagValue], Meta(max_length=MAX_TAGS)] = {}


METRIC_DECODER = msgspec.json.Decoder(Metric)
# What `METRIC_DECODER.decode` raises for a bad record: malformed JSON or a wrong field, text that is
# not UTF-8, nesting too deep, and None (a record without a value).
DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError)

_ENCODER = msgspec.json.Encoder()
_FIELDS = frozenset(Metric.__struct_fields__)
_AT = re.compile(r" - at (`key` in )?`\$\.(?P<path>[^`]*)`$")


def decode_metric(value: bytes | None) -> Metric:
    """Decode one record's value; raise `InvalidMessage` naming the field and the value at fault.

    A leap second, which no datetime can hold, is the last instant of the second before it.
    """
    try:
        return METRIC_DECODER.decode(value)  # type: ignore[arg-type]
    except DECODE_ERRORS as error:
        metric = _with_leap_second(value)
        if metric is None:
            raise why_invalid(value, error) from error
        return metric


def encode_metric(metric: Metric) -> bytes:
    """The metric as compact UTF-8 JSON, the timestamp in RFC 3339 with its zone."""
    return _ENCODER.encode(metric)


def default_key(metric: Metric) -> str:
    """The record key that keeps an instance's samples in order: `{database_type}:{instance_id}`."""
    return f"{metric.database_type}:{metric.instance_id}"


def extra_fields(value: bytes) -> dict[str, Any]:
    """The fields of a valid record that `Metric` does not know, as plain JSON values."""
    try:
        whole = msgspec.json.decode(value)
    except DECODE_ERRORS:
        return {}
    return {name: field for name, field in whole.items() if name not in _FIELDS}


def why_invalid(value: bytes | None, error: Exception) -> InvalidMessage:
    """Turn a decoder's error about `value` into a reason a person can act on."""
    if value is None:
        return NullValue("the record has no value")
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError as wrong:
        byte = value[wrong.start]
        return NotUtf8(f"not UTF-8: byte 0x{byte:02x} at position {wrong.start}")
    if isinstance(error, RecursionError):
        return NotJson("not a metric: nested too deeply")
    try:
        # The standard library's parser reads NaN and huge numbers, so that they can be named.
        whole = json.loads(text)
    except (ValueError, RecursionError) as wrong_json:
        return NotJson(f"not JSON: {wrong_json}")
    if not isinstance(whole, dict):
        return WrongType(f"expected a JSON object, got {_preview(whole)}")
    for name, field in whole.items():
        if isinstance(field, float) and not math.isfinite(field):
            return OutOfRange(f"{name}: expected a finite number, got {field}")
    if not isinstance(error, msgspec.ValidationError):
        return NotJson(f"not JSON: {error}")
    return _wrong_field(whole, str(error))


def _with_leap_second(value: bytes | None) -> Metric | None:
    """A metric whose one fault for the decoder is the second 60 of its time; None: it has another."""
    if value is None or b":60" not in value:
        return None
    try:
        whole = msgspec.json.decode(value)
        written = whole["timestamp"]
        return msgspec.convert({**whole, "timestamp": without_leap_second(written)}, Metric)
    except (*DECODE_ERRORS, LookupError):
        return None


def _wrong_field(whole: dict[str, Any], reason: str) -> InvalidMessage:
    at = _AT.search(reason)
    if at is None:
        missing = re.search(r"missing required field `(\w+)`", reason)
        if missing is not None:
            return MissingField(f"{missing[1]}: missing")
        return WrongType(reason)
    field = at["path"].partition("[")[0]
    got = whole.get(field)
    expected = reason[: at.start()]
    if field == "timestamp":
        expected = "expected an RFC 3339 time with a zone, such as 2026-01-15T10:30:00Z"
    elif field == "value":
        expected = "expected a finite number"
    elif field == "tags" and isinstance(got, dict):
        if len(got) > MAX_TAGS:
            return OutOfRange(f"tags: at most {MAX_TAGS}, got {len(got)}")
        name, got = next(
            (name, tag) for name, tag in got.items() if not isinstance(tag, str) or len(tag) > MAX_TAG_VALUE
        )
        field = f"tags.{name[:MAX_NAME]}"
        expected = f"expected text of at most {MAX_TAG_VALUE} characters"
    elif field in _FIELDS:
        expected = "expected an object" if field == "tags" else f"expected text of 1 to {MAX_NAME} characters"
    out_of_range = "range" in reason or "length" in reason
    return (OutOfRange if out_of_range else WrongType)(f"{field}: {expected}, got {_preview(got)}")


def _preview(value: Any) -> str:
    try:
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    except (ValueError, TypeError, RecursionError):
        text = repr(value)
    shown = repr(value) if isinstance(value, str) else text
    return shown if len(shown) <= _PREVIEW else f"{shown[:_PREVIEW]}… ({len(text)} characters)"
