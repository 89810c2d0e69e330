from __future__ import annotations

import time

import pytest

from dlq.causes import LABEL_LENGTH, UNKNOWN_ERROR, cause_of, normalise


def fingerprint(message: str, *, error_type: str = "InvalidMessage", topic: str | None = "t") -> str:
    return cause_of(error_type=error_type, message=message, topic=topic).fingerprint


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("JSON is malformed: invalid character (byte 17)", "JSON is malformed: invalid character (byte 4)"),
        ("late since 2026-01-15T10:30:00Z", "late since 2025-12-31T23:59:59.123+01:00"),
        ("no host 10.0.0.1:9092", "no host 192.168.7.3"),
        (
            "id 0b4b0f9e-6a1c-4f04-9b3c-1f2d3c4b5a69 is used",
            "id 9B4B0F9E-6A1C-4F04-9B3C-1F2D3C4B5A60 is used",
        ),
        ("could not convert 'x y 1' to float", "could not convert 'other 2' to float"),
        ("bad bytes b'\\xff\\x00'", "bad bytes b'ab'"),
        ("size 1048577 is over 900", "size 1.5e9 is over 3"),
        ("two\n lines", "two lines"),
    ],
)
def test_what_differs_between_records_is_no_part_of_a_cause(one: str, other: str) -> None:
    assert fingerprint(one) == fingerprint(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Expected `float`, got `str` - at `$.value`", "Expected `float`, got `str` - at `$.tags`"),
        ("'instance_id'", "'metric_name'"),
        ("'utf-8' codec can't decode it", "'ascii' codec can't decode it"),
    ],
)
def test_a_field_or_a_type_tells_causes_apart(one: str, other: str) -> None:
    assert fingerprint(one) != fingerprint(other)


def test_error_type_and_topic_tell_causes_apart() -> None:
    same = "value is missing"
    assert fingerprint(same) != fingerprint(same, error_type="KeyError")
    assert fingerprint(same) != fingerprint(same, topic="other")
    assert fingerprint(same, topic=None) != fingerprint(same)


def test_a_fingerprint_stays_what_it_was() -> None:
    """Rows already stored are grouped by it: a change needs a migration of them."""
    assert fingerprint("JSON is malformed: byte 17") == "f5cefca5aca24acf"


def test_an_empty_message_has_a_label() -> None:
    assert cause_of(error_type="E", message="  ", topic=None).label == UNKNOWN_ERROR


@pytest.mark.parametrize(
    "hostile", ["'" * 100_000, "0" * 100_000, "0x" * 50_000, "b'" * 50_000, "\\" * 100_000]
)
def test_a_hostile_message_costs_little(hostile: str) -> None:
    started = time.perf_counter()
    label = normalise(hostile)
    assert len(label) <= LABEL_LENGTH
    assert time.perf_counter() - started < 0.5
