"""Writes points, in the transaction that moves the partitions' progress.

That transaction starts from the stored progress or fails, so no point is ever written twice and none
needs to be looked for first. PostgreSQL takes a binary COPY, packed here: the driver's own way of
writing rows costs twice as much. SQLite takes a hundred rows a statement: of one each, it writes a third
less in a second.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, islice, repeat

import msgspec
from django.db import connection, transaction

from topics.models import MetricPoint
from topics.telemetry import Metric, OutOfRange
from topics.warehouse.series_ids import without_nul

_TABLE = MetricPoint._meta.db_table
_COLUMNS = 'origin_id, "offset", series_id, at, stored_at, value, tags'
_INSERT = f"INSERT INTO {_TABLE} ({_COLUMNS}) VALUES "  # noqa: S608
_ROW = "(?, ?, ?, ?, ?, ?, ?)"
_ROWS = 100
_INSERT_MANY = _INSERT + ", ".join([_ROW] * _ROWS)
_INSERT_ONE = _INSERT + _ROW
_COPY = f"COPY {{table}} ({_COLUMNS}) FROM STDIN (FORMAT binary)"
_STAGING = "arriving_points"
_STAGE = f"CREATE TEMPORARY TABLE {_STAGING} (LIKE {_TABLE}) ON COMMIT DROP"
_UNSTAGE = f"INSERT INTO {_TABLE} ({_COLUMNS}) SELECT {_COLUMNS} FROM {_STAGING}"  # noqa: S608
_IF_NEW = ' ON CONFLICT (origin_id, "offset") DO NOTHING'

# PostgreSQL counts microseconds from here.
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_EARLIEST = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LATEST = (datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC) - _EPOCH) // _MICROSECOND
# A row of seven columns: before each value its length in bytes. What JSON is stored as has a version, 1.
_HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
_PIECE = 500
_TRAILER = struct.pack(">h", -1)
_pack_row = struct.Struct(">h iiiqii iqiqid ib").pack
_encode = msgspec.json.Encoder().encode
_NUL = b"\\u0000"


@dataclass(frozen=True, slots=True)
class Points:
    """The i-th metric, its series, and where it stands: offset `offsets[i]` of the partition `origins[i]`."""

    origins: Sequence[int]
    offsets: Sequence[int]
    series: Sequence[int]
    metrics: Sequence[Metric]


def write_points(*, points: Points, now: datetime, known: bool = False) -> None:
    """Store these. Call it inside the transaction that moves the progress past them.

    `known` says that some may be stored already, as when progress was set back: those stay as they are,
    where otherwise they raise `IntegrityError`. Raises `OutOfRange` for a time that no database holds.
    """
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError("points are stored with their progress")
    if not points.metrics:
        return
    if connection.vendor == "postgresql":
        _copy(points, now, known=known)
    else:
        _insert(points, now, known=known)


def _insert(points: Points, now: datetime, *, known: bool) -> None:
    metrics = points.metrics
    (stored_at,) = _as_texts([now])
    # Columns, because loops inside C cost a third of a loop over rows.
    rows = zip(
        points.origins,
        points.offsets,
        points.series,
        _as_texts(_in_utc([metric.timestamp for metric in metrics])),
        repeat(stored_at),
        [metric.value for metric in metrics],
        map(bytes.decode, _tags(metrics)),
        strict=False,
    )
    if_new = _IF_NEW if known else ""
    write = connection.connection
    # The wrapped cursor would keep a second list of the rows.
    with connection.wrap_database_errors:
        for _ in range(len(metrics) // _ROWS):
            write.execute(_INSERT_MANY + if_new, tuple(chain.from_iterable(islice(rows, _ROWS))))
        write.executemany(_INSERT_ONE + if_new, rows)


def _copy(points: Points, now: datetime, *, known: bool) -> None:
    with connection.cursor() as cursor:
        if known:
            cursor.execute(_STAGE)
        copied_to = _COPY.format(table=_STAGING if known else _TABLE)
        with connection.wrap_database_errors, cursor.copy(copied_to) as copy:
            for packed in _packed(points, now):
                copy.write(packed)
        if known:
            cursor.execute(_UNSTAGE + _IF_NEW)


def _packed(points: Points, now: datetime) -> Iterator[bytes]:
    """In pieces: the server takes in one while the next is packed."""
    stored = (now - _EPOCH) // _MICROSECOND
    times = [(metric.timestamp - _EPOCH) // _MICROSECOND for metric in points.metrics]
    for at in (min(times), max(times)):
        if not _EARLIEST <= at <= _LATEST:
            raise _beyond(points.metrics[times.index(at)].timestamp)
    tags_of = _tags(points.metrics)
    columns = zip(points.origins, points.offsets, points.series, times, points.metrics, tags_of, strict=True)
    parts = [_HEADER]
    for origin, offset, series, at, metric, tags in columns:
        size, value = len(tags) + 1, metric.value
        parts.append(_pack_row(7, 4, origin, 8, offset, 4, series, 8, at, 8, stored, 8, value, size, 1))
        parts.append(tags)
        if len(parts) >= _PIECE:
            yield b"".join(parts)
            parts.clear()
    parts.append(_TRAILER)
    yield b"".join(parts)


def _as_texts(times: list[datetime]) -> list[str]:
    """As Django writes times into SQLite, of times in UTC; isoformat() takes seven times as long."""
    return _encode(times).decode()[2:-3].replace("T", " ").split('Z","')


def _in_utc(times: list[datetime]) -> list[datetime]:
    if {at.tzinfo for at in times} == {UTC}:
        return times
    try:
        return [at.astimezone(UTC) for at in times]
    except OverflowError:
        raise _beyond(next(at for at in times if not _has_utc(at))) from None


def _has_utc(at: datetime) -> bool:
    try:
        at.astimezone(UTC)
    except OverflowError:
        return False
    return True


def _tags(metrics: Sequence[Metric]) -> list[bytes]:
    """As JSON, without what PostgreSQL's can't hold."""
    encoded = [_encode(metric.tags) for metric in metrics]
    if _NUL not in b"".join(encoded):
        return encoded
    return [
        _encode({without_nul(name): without_nul(tag) for name, tag in metric.tags.items()})
        for metric in metrics
    ]


def _beyond(at: datetime) -> OutOfRange:
    return OutOfRange(f"timestamp: expected a time between the years 1 and 9999 in UTC, got {at.isoformat()}")
