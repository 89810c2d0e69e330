"""Reads a record's headers safely, whatever bytes another producer wrote as their names."""

from __future__ import annotations

import gc
from operator import methodcaller
from typing import Any, cast

from gdsconsole.kafka.clients import Headers, Record

# In place of a header name that is not UTF-8; its bytes are lost in the client library.
UNREADABLE_NAME = "\ufffd"
# Called from C, the result is always checked for an error set beside it. A call written in Python isn't
# checked once the interpreter has specialised it: the error would surface somewhere else, later.
_headers = methodcaller("headers")


def headers_of(record: Record) -> Headers:
    """The record's headers in order, duplicates and nulls included; empty where it has none.

    Everything that reads headers must do it here. confluent_kafka can't express a header name that is not
    UTF-8: `record.headers()` raises SystemError at best, and in a warm loop or a second time returns a
    list with a NULL pointer in it, which crashes the process as soon as it is touched. A name ends at
    its first NUL character there, too.
    """
    try:
        found = _headers(record)
    except (SystemError, UnicodeDecodeError):
        found = _salvaged(record)
    return [(name, value) for name, value in found or ()]


def _salvaged(record: Record) -> Headers:
    """The headers without touching the NULL pointers; the record's own list is replaced by them."""
    try:
        broken = _headers(record)
    except (SystemError, UnicodeDecodeError):
        return []
    # The garbage collector's view of a (name, value) pair leaves out a name that is NULL.
    readable = [(UNREADABLE_NAME if len(gc.get_referents(pair)) < 2 else pair[0], pair[1]) for pair in broken]
    cast(Any, record).set_headers(readable)
    return readable
