"""From records to values: whole batches at the speed of C loops, and record by record where one fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gdsconsole.kafka.clients import Record
from gdsconsole.kafka.errors import InvalidMessage


@dataclass(frozen=True, slots=True)
class Undecodable:
    """A record that has no value, and why."""

    record: Record
    error: Exception


@dataclass(frozen=True, slots=True)
class DecodedBatch:
    """`records[i]` decoded to `values[i]`; `bad` holds the rest."""

    records: Sequence[Record]
    values: Sequence[Any]
    bad: Sequence[Undecodable] = ()


class Decoder(Protocol):
    def __call__(self, records: list[Record]) -> DecodedBatch: ...


class ValueDecoder:
    """Decodes a record's value alone.

    `quick` may raise anything for a bad value; `careful` is asked then, for that batch, and raises
    `InvalidMessage` with a reason for people. Without `quick`, every record takes the careful way.
    """

    def __init__(
        self, careful: Callable[[bytes | None], Any], quick: Callable[[Any], Any] | None = None
    ) -> None:
        self._careful = careful
        self._quick = quick or careful

    def __call__(self, records: list[Record]) -> DecodedBatch:
        payloads = list(map(type(records[0]).value, records))
        try:
            return DecodedBatch(records, list(map(self._quick, payloads)))
        except MemoryError:
            raise
        except Exception:
            return _one_by_one(records, payloads, self._careful)


class RecordDecoder:
    """Decodes whole records: headers, key and value."""

    def __init__(self, decode: Callable[[Record], Any]) -> None:
        self._decode = decode

    def __call__(self, records: list[Record]) -> DecodedBatch:
        return _one_by_one(records, records, self._decode)


def _one_by_one(records: list[Record], inputs: Sequence[Any], decode: Callable[[Any], Any]) -> DecodedBatch:
    good: list[Record] = []
    values: list[Any] = []
    bad: list[Undecodable] = []
    for record, given in zip(records, inputs, strict=True):
        try:
            value = decode(given)
        except InvalidMessage as error:
            bad.append(Undecodable(record, error))
        except MemoryError:
            raise
        except Exception as error:
            # A decoder reads its argument and nothing else: what it raises once, it raises for ever.
            bad.append(Undecodable(record, error))
        else:
            good.append(record)
            values.append(value)
    return DecodedBatch(good, values, bad)
