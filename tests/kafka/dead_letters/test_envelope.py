from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME, TIMESTAMP_NOT_AVAILABLE
from hypothesis import given
from hypothesis import strategies as st

from gdsconsole.kafka.dead_letters import envelope as envelopes
from gdsconsole.kafka.dead_letters.envelope import (
    DeadLetterContext,
    DecodedDeadLetter,
    ReplayMark,
    decode,
    decode_parts,
    encode,
    headers_of,
    replay_headers,
    replay_mark,
)
from gdsconsole.kafka.timestamps import stamp_ms, written_at
from tests.factories import make_record

NOON = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)

any_bytes = st.none() | st.binary(max_size=200)
header_names = st.text(max_size=30).filter(lambda name: not name.startswith(envelopes.PREFIX))
any_headers = st.lists(st.tuples(header_names, any_bytes), max_size=6)
any_text = st.text(alphabet=st.characters(codec=None), max_size=4000)


def make_context(**changes: Any) -> DeadLetterContext:
    fields: dict[str, Any] = {
        "group": "gds-alerting",
        "error": "value: expected a finite number",
        "error_type": "InvalidMessage",
        "attempt": 1,
        "failed_at": NOON,
    }
    return DeadLetterContext(**fields | changes)


def decoded_after(record: Any, context: DeadLetterContext) -> DecodedDeadLetter:
    encoded = encode(record, context)
    return decode(make_record(key=encoded.key, value=encoded.value, headers=encoded.headers))


@given(key=any_bytes, value=any_bytes, headers=any_headers)
def test_a_record_survives_byte_for_byte(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes | None]]
) -> None:
    record = make_record(key=key, value=value, headers=headers)
    encoded = encode(record, make_context())

    assert (encoded.key, encoded.value) == (key, value)
    assert encoded.headers[: len(headers)] == headers
    letter = decode(make_record(key=encoded.key, value=encoded.value, headers=encoded.headers))
    assert letter.form == "headers"
    assert (letter.key, letter.value, letter.headers) == (key, value, headers)


def test_the_context_is_read_back() -> None:
    record = make_record(
        topic="gds.metrics.production",
        partition=0,
        offset=0,
        timestamp=(TIMESTAMP_LOG_APPEND_TIME, 1768473000123),
    )
    letter = decoded_after(
        record, make_context(attempt=3, first_failed_at=NOON - timedelta(minutes=1, milliseconds=5))
    )

    assert (letter.topic, letter.partition, letter.offset) == ("gds.metrics.production", 0, 0)
    assert letter.timestamp == datetime(2026, 1, 15, 10, 30, 0, 123000, tzinfo=UTC)
    assert letter.timestamp_ms == 1768473000123
    assert letter.timestamp_type == "log-append"
    assert (letter.group, letter.error_type, letter.attempt) == ("gds-alerting", "InvalidMessage", 3)
    assert letter.error == "value: expected a finite number"
    assert letter.first_failed_at == NOON - timedelta(minutes=1, milliseconds=5)
    assert letter.topic_id is None


def test_the_topic_id_tells_a_topic_from_its_successor() -> None:
    letter = decoded_after(make_record(), make_context(topic_id="hJ7x0yXjQW2mT1b3bqfRDA"))
    assert letter.topic_id == "hJ7x0yXjQW2mT1b3bqfRDA"
    assert letter.last_failed_at == NOON
    assert (letter.replay_id, letter.replay_count) == (None, 0)


def test_a_timestamp_the_record_does_not_have_stays_unknown() -> None:
    letter = decoded_after(make_record(timestamp=(TIMESTAMP_NOT_AVAILABLE, 0)), make_context())
    assert letter.timestamp is None
    assert letter.timestamp_type is None


@pytest.mark.parametrize("stamp", [0, 1, 2**62])
def test_any_timestamp_is_kept_as_a_header(stamp: int) -> None:
    encoded = encode(make_record(timestamp=(TIMESTAMP_CREATE_TIME, stamp)), make_context())
    assert (envelopes.TIMESTAMP, str(stamp).encode()) in encoded.headers
    assert decode_parts(None, b"", encoded.headers).form == "headers"


def test_null_and_empty_are_kept_apart_even_where_a_store_does_not() -> None:
    encoded = encode(make_record(key=None, value=b""), make_context())
    assert decode_parts(b"", b"", encoded.headers).key is None
    assert decode_parts(b"", b"", encoded.headers).value == b""


def test_headers_do_not_grow_when_a_record_fails_again_and_again() -> None:
    record = make_record(headers=[("trace", b"\xff\x00"), ("trace", None)])
    sizes = set()
    for attempt in range(1, 9):
        encoded = encode(record, make_context(attempt=attempt, failed_at=NOON + timedelta(hours=attempt)))
        sizes.add(len(encoded.headers))
        record = make_record(key=encoded.key, value=encoded.value, headers=encoded.headers)
    letter = decode(record)

    assert len(sizes) == 1
    assert letter.headers == [("trace", b"\xff\x00"), ("trace", None)]
    assert letter.attempt == 8
    assert letter.first_failed_at == NOON + timedelta(hours=1)
    assert letter.last_failed_at == NOON + timedelta(hours=8)


@given(error=any_text, error_type=any_text, group=any_text)
def test_any_error_text_is_cut_to_a_bound_and_storable(error: str, error_type: str, group: str) -> None:
    encoded = encode(make_record(), make_context(error=error, error_type=error_type, group=group))
    by_name = dict(encoded.headers)
    assert len(by_name[envelopes.ERROR] or b"") <= envelopes.MAX_ERROR_BYTES
    assert len(by_name[envelopes.ERROR_TYPE] or b"") <= envelopes.MAX_ERROR_TYPE_BYTES
    for text in (by_name[envelopes.ERROR], by_name[envelopes.GROUP]):
        assert "\0" not in (text or b"").decode()


def test_a_cut_error_says_so_and_keeps_whole_characters() -> None:
    letter = decoded_after(make_record(), make_context(error="é" * 5000))
    assert letter.error is not None
    assert letter.error.strip("é") == "…"


def test_a_replayed_record_that_fails_again_keeps_its_replay_and_its_first_failure() -> None:
    first = decoded_after(make_record(headers=[("own", b"1")]), make_context())
    sent_again = make_record(headers=replay_headers(first, ReplayMark("r-1", 2)))

    assert replay_mark(sent_again) == ReplayMark("r-1", 2)
    letter = decoded_after(sent_again, make_context(failed_at=NOON + timedelta(days=1)))
    assert (letter.replay_id, letter.replay_count) == ("r-1", 2)
    assert letter.first_failed_at == NOON
    assert letter.headers == [("own", b"1")]


def test_a_record_of_its_own_producer_has_no_replay() -> None:
    assert replay_mark(make_record(headers=[("own", b"1")])) is None
    assert replay_mark(make_record(headers=None)) is None


def guide_envelope(**changes: Any) -> dict[str, Any]:
    return {
        "original_topic": "gds.metrics.production",
        "original_partition": 0,
        "original_offset": 42,
        "original_key": "postgresql:prod-db-01",
        "original_value": '{"value": "é"}',
        "error": "could not convert string to float",
        "error_type": "ValueError",
        "attempt": 3,
        "timestamp": "2026-01-15T12:00:00.000000Z",
    } | changes


def read_envelope(envelope: Any) -> DecodedDeadLetter:
    return decode(make_record(key=b"k", value=json.dumps(envelope).encode(), headers=[("h", b"1")]))


def test_the_guides_json_envelope_is_read() -> None:
    assert read_envelope(guide_envelope()) == DecodedDeadLetter(
        form="envelope",
        key=b"postgresql:prod-db-01",
        value='{"value": "é"}'.encode(),
        headers=[("h", b"1")],
        topic="gds.metrics.production",
        partition=0,
        offset=42,
        error="could not convert string to float",
        error_type="ValueError",
        attempt=3,
        first_failed_at=NOON,
        last_failed_at=NOON,
    )


def test_an_envelopes_null_key_and_value_are_null() -> None:
    letter = read_envelope(guide_envelope(original_key=None, original_value=None))
    assert (letter.form, letter.key, letter.value) == ("envelope", None, None)


def test_an_envelopes_value_that_is_json_becomes_json_again() -> None:
    assert read_envelope(guide_envelope(original_value={"a": 1})).value == b'{"a": 1}'


@pytest.mark.parametrize(
    "changes",
    [
        {"original_topic": None},
        {"original_topic": ""},
        {"original_topic": "t" * 250},
        {"original_topic": "\ud800"},
        {"original_partition": "0"},
        {"original_partition": True},
        {"original_offset": -1},
        {"original_offset": 2**63},
    ],
)
def test_an_envelope_without_coordinates_is_kept_raw(changes: dict[str, Any]) -> None:
    letter = read_envelope(guide_envelope(**changes))
    assert (letter.form, letter.key, letter.topic) == ("raw", b"k", None)
    assert letter.value == json.dumps(guide_envelope(**changes)).encode()
    assert "original_topic" in (letter.problem or "")


@pytest.mark.parametrize(
    "value", [None, b"", b"\xff", b"[1]", b"null", b"7", b'"text"', b'{"a": 1}', b"[" * 100_000, b"9" * 5000]
)
def test_what_is_no_envelope_is_kept_raw(value: bytes | None) -> None:
    letter = decode(make_record(key=None, value=value, headers=[("h", None)]))
    assert (letter.form, letter.key, letter.value, letter.headers) == ("raw", None, value, [("h", None)])
    assert letter.problem


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (envelopes.OFFSET, None),
        (envelopes.OFFSET, b"-1"),
        (envelopes.OFFSET, b"9" * 30),
        (envelopes.PARTITION, b"x"),
        (envelopes.TOPIC, b""),
        (envelopes.TOPIC, b"\xff"),
    ],
)
def test_malformed_coordinates_keep_the_record_raw(name: str, value: bytes | None) -> None:
    encoded = encode(make_record(), make_context())
    spoilt = [(given, value if given == name else kept) for given, kept in encoded.headers]
    letter = decode_parts(encoded.key, encoded.value, spoilt)
    assert (letter.form, letter.headers) == ("raw", spoilt)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(alphabet=st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
console_names = st.sampled_from(
    [value for name, value in vars(envelopes).items() if name.isupper() and str(value).startswith("gds.dlq.")]
)


@given(
    key=any_bytes,
    value=any_bytes
    | st.builds(
        lambda changes: json.dumps(guide_envelope(**changes)).encode(),
        st.dictionaries(st.sampled_from(sorted(guide_envelope())), json_values),
    ),
    headers=st.lists(st.tuples(header_names | console_names, any_bytes | st.just(b"7")), max_size=12),
)
def test_decoding_never_raises_and_its_text_can_be_stored(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes | None]]
) -> None:
    letter = decode(make_record(key=key, value=value, headers=headers))
    for text in (letter.topic, letter.group, letter.error, letter.error_type, letter.replay_id):
        assert text is None or "\0" not in text.encode().decode()
    assert letter.replay_count >= 0
    for moment in (letter.timestamp, letter.first_failed_at, letter.last_failed_at):
        assert moment is None or moment.utcoffset() == timedelta(0)


def test_headers_of_a_record_without_any_is_empty() -> None:
    assert headers_of(make_record(headers=None)) == []


def test_when_a_record_was_written() -> None:
    created = make_record(timestamp=(TIMESTAMP_CREATE_TIME, 1768473000123))
    assert written_at(created) == datetime(2026, 1, 15, 10, 30, 0, 123000, tzinfo=UTC)
    assert written_at(make_record(timestamp=(TIMESTAMP_NOT_AVAILABLE, -1))) is None


def test_a_time_that_is_no_date_stays_the_number_it_is() -> None:
    in_microseconds = make_record(timestamp=(TIMESTAMP_CREATE_TIME, 1768473000123000))
    assert (stamp_ms(in_microseconds), written_at(in_microseconds)) == (1768473000123000, None)
    assert stamp_ms(make_record(timestamp=(TIMESTAMP_CREATE_TIME, 0))) == 0
    assert stamp_ms(make_record(timestamp=(TIMESTAMP_NOT_AVAILABLE, -1))) is None
