"""From records to values."""

from __future__ import annotations

import pytest

from gdsconsole.kafka.consuming.decoding import RecordDecoder, ValueDecoder
from gdsconsole.kafka.errors import InvalidMessage
from tests.factories import make_record
from tests.kafka.steps import decode_text


def records(*values: bytes | None) -> list:
    return [make_record(offset=n, value=value) for n, value in enumerate(values)]


def test_a_good_batch_is_decoded_by_the_quick_decoder_alone():
    def never(value: bytes | None) -> str:
        raise AssertionError("not asked for")

    given = records(b"a", b"b")
    decoded = ValueDecoder(never, quick=bytes.decode)(given)
    assert decoded.values == ["a", "b"]
    assert decoded.records is given
    assert not decoded.bad


def test_the_careful_decoder_says_why_and_the_neighbours_pass():
    given = records(b"a", b"bad one", b"c", None)
    decoded = ValueDecoder(decode_text, quick=lambda value: decode_text(value))(given)
    assert decoded.values == ["a", "c"]
    assert [record.offset() for record in decoded.records] == [0, 2]
    assert [(one.record.offset(), str(one.error)) for one in decoded.bad] == [
        (1, "'bad one' is not good"),
        (3, "the record has no value"),
    ]


def test_what_a_decoder_raises_once_it_raises_for_ever():
    decoded = ValueDecoder(lambda value: 1 // 0)(records(b"a"))
    assert isinstance(decoded.bad[0].error, ZeroDivisionError)


def test_no_memory_is_not_the_records_fault():
    def greedy(value: bytes | None) -> str:
        raise MemoryError

    with pytest.raises(MemoryError):
        ValueDecoder(greedy)(records(b"a"))
    with pytest.raises(MemoryError):
        RecordDecoder(lambda record: greedy(record.value()))(records(b"a"))


def test_a_record_decoder_sees_the_whole_record():
    def key_of(record):
        if record.key() is None:
            raise InvalidMessage("the record has no key")
        return record.key()

    decoded = RecordDecoder(key_of)([make_record(), make_record(key=None)])
    assert decoded.values == [b"postgresql:prod-db-01"]
    assert str(decoded.bad[0].error) == "the record has no key"
