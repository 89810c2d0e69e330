"""The metric message: what passes, what doesn't, and the words for it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdsconsole.kafka.errors import InvalidMessage
from topics import telemetry
from topics.telemetry import METRIC_DECODER, Metric, decode_metric, encode_metric, extra_fields

GOOD: dict[str, Any] = {
    "timestamp": "2026-01-15T10:30:00Z",
    "database_type": "postgresql",
    "instance_id": "prod-db-01",
    "metric_name": "cpu_usage_percent",
    "value": 85.5,
    "tags": {"environment": "production"},
}


def message(**changes: Any) -> bytes:
    return msgspec.json.encode({**GOOD, **changes})


def with_value(text: str) -> bytes:
    return message(value=0).replace(b'"value":0', b'"value":' + text.encode())


def refusal(value: bytes) -> InvalidMessage | None:
    try:
        decode_metric(value)
    except InvalidMessage as refused:
        return refused
    return None


def test_the_guides_message_decodes() -> None:
    metric = decode_metric(message())
    assert metric == Metric(
        timestamp=datetime(2026, 1, 15, 10, 30, tzinfo=UTC),
        database_type="postgresql",
        instance_id="prod-db-01",
        metric_name="cpu_usage_percent",
        value=85.5,
        tags={"environment": "production"},
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("85", 85.0),
        ("-0.5", -0.5),
        ("1e308", 1e308),
        ("1E2", 100.0),
        ("18446744073709551617", 18446744073709551617.0),
    ],
)
def test_every_finite_number_is_a_value(value: str, expected: float) -> None:
    assert decode_metric(with_value(value)).value == expected


@pytest.mark.parametrize(
    "stamp", ["2026-01-15T10:30:00Z", "2026-01-15T12:30:00+02:00", "2026-01-15t05:00:00-05:30"]
)
def test_zones_are_kept_as_the_same_moment(stamp: str) -> None:
    assert decode_metric(message(timestamp=stamp)).timestamp == datetime(2026, 1, 15, 10, 30, tzinfo=UTC)


def test_a_metric_without_tags_has_none() -> None:
    assert decode_metric(msgspec.json.encode({k: v for k, v in GOOD.items() if k != "tags"})).tags == {}


def test_unknown_fields_are_kept_in_the_bytes() -> None:
    value = message(unit="percent", collector={"version": 2})
    assert decode_metric(value).value == 85.5
    assert extra_fields(value) == {"unit": "percent", "collector": {"version": 2}}


@pytest.mark.parametrize(
    ("value", "kind", "reason"),
    [
        (None, telemetry.NullValue, "the record has no value"),
        (b"", telemetry.NotJson, "not JSON"),
        (b"cpu=85.5", telemetry.NotJson, "not JSON"),
        (message()[:-5], telemetry.NotJson, "not JSON"),
        (message() + b"}", telemetry.NotJson, "not JSON"),
        (b'{"instance_id":"\\ud800"}', telemetry.NotJson, "not JSON"),
        (b'{"instance_id":"\xff"}', telemetry.NotUtf8, "not UTF-8: byte 0xff at position 16"),
        (b"\xff\xfe\x00", telemetry.NotUtf8, "not UTF-8: byte 0xff at position 0"),
        (b"[1]", telemetry.WrongType, "expected a JSON object, got [1]"),
        (b"null", telemetry.WrongType, "expected a JSON object, got null"),
        (b"{}", telemetry.MissingField, "timestamp: missing"),
        (with_value("true"), telemetry.WrongType, "value: expected a finite number, got true"),
        (with_value('"85.5"'), telemetry.WrongType, "value: expected a finite number, got '85.5'"),
        (with_value("null"), telemetry.WrongType, "value: expected a finite number, got null"),
        (with_value("NaN"), telemetry.OutOfRange, "value: expected a finite number, got nan"),
        (with_value("-Infinity"), telemetry.OutOfRange, "value: expected a finite number, got -inf"),
        (with_value("1e999"), telemetry.OutOfRange, "value: expected a finite number, got inf"),
        (with_value("1" + "0" * 400), telemetry.OutOfRange, "value: expected a finite number, got 1000"),
        (message(timestamp="2026-01-15T10:30:00"), telemetry.WrongType, "timestamp: expected an RFC 3339"),
        (message(timestamp=1768473000), telemetry.WrongType, "got 1768473000"),
        (message(timestamp="2026-02-30T10:30:00Z"), telemetry.WrongType, "got '2026-02-30T10:30:00Z'"),
        (message(instance_id=""), telemetry.OutOfRange, "instance_id: expected text of 1 to 200 characters"),
        (message(instance_id="x" * 201), telemetry.OutOfRange, "(201 characters)"),
        (
            message(metric_name=7),
            telemetry.WrongType,
            "metric_name: expected text of 1 to 200 characters, got 7",
        ),
        (message(tags=None), telemetry.WrongType, "tags: expected an object, got null"),
        (message(tags=["a"]), telemetry.WrongType, "tags: expected an object"),
        (message(tags={"port": 5432}), telemetry.WrongType, "tags.port: expected text"),
        (message(tags={"q": "x" * 257}), telemetry.OutOfRange, "tags.q: expected text of at most 256"),
        (message(tags={str(n): "" for n in range(65)}), telemetry.OutOfRange, "tags: at most 64, got 65"),
        (
            message(extra=0).replace(b'"extra":0', b'"extra":' + b"[" * 100_000),
            telemetry.NotJson,
            "nested too deeply",
        ),
    ],
)
def test_poison_is_named(value: bytes | None, kind: type[InvalidMessage], reason: str) -> None:
    with pytest.raises(InvalidMessage) as refused:
        decode_metric(value)
    assert type(refused.value) is kind
    assert reason in refused.value.reason
    assert len(refused.value.reason) < 400


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_any_bytes_decode_or_are_refused_with_a_reason(value: bytes) -> None:
    refused = refusal(value)
    assert refused is None or refused.reason


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(field=st.sampled_from(sorted(GOOD)), got=JSON)
def test_any_field_decodes_or_is_refused_by_its_name(field: str, got: Any) -> None:
    value = json.dumps({**GOOD, field: got}).encode()
    refused = refusal(value)
    assert refused is None or field in refused.reason


NAMES = st.text(min_size=1, max_size=200).filter(
    lambda text: not any("\ud800" <= char <= "\udfff" for char in text)
)


@given(
    st.builds(
        Metric,
        timestamp=st.datetimes(timezones=st.just(UTC)),
        database_type=NAMES,
        instance_id=NAMES,
        metric_name=NAMES,
        value=st.floats(allow_nan=False, allow_infinity=False),
        tags=st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=5),
    )
)
def test_what_is_encoded_decodes_to_the_same(metric: Metric) -> None:
    assert METRIC_DECODER.decode(encode_metric(metric)) == metric


@pytest.mark.parametrize(
    "written", ["2016-12-31T23:59:60Z", "2016-12-31T23:59:60.5Z", "2017-01-01T00:59:60+01:00"]
)
def test_a_leap_second_is_the_end_of_its_minute(written: str) -> None:
    metric = decode_metric(message(timestamp=written))
    assert metric.timestamp == datetime(2016, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    assert metric.tags == GOOD["tags"]


@pytest.mark.parametrize(
    "changes",
    [
        {"timestamp": "2016-12-31T10:30:60Z"},
        {"timestamp": "2016-12-31T23:59:61Z"},
        {"timestamp": "2016-12-31T23:59:60Z", "value": "x"},
        {"timestamp": "2016-12-31T23:59:60"},
    ],
)
def test_a_leap_second_excuses_nothing_else(changes: dict[str, Any]) -> None:
    assert refusal(message(**changes)) is not None
