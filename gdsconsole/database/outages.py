"""What an error of the database means: an outage, and of which cause, or input that it refuses.

An outage passes, and what met it is tried again. Refused input never will be accepted: whoever gave it has to
hear which field, which value and which rule. The class of an exception tells neither: drivers
raise an OperationalError for a value too large for an index, and an InternalError for a standby.
"""

from __future__ import annotations

import errno
import resource
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, OperationalError, connection

from gdsconsole.service_addresses import without_password


class Cause(Enum):
    """Why the database can't do its work; the value completes "the database is ..."."""

    LOCKED = "locked"
    FULL = "full"
    READ_ONLY = "read-only"
    DOWN = "down"
    DAMAGED = "damaged"
    NOT_MIGRATED = "not migrated"


@dataclass(frozen=True, slots=True)
class Outage:
    """`detail` is the driver's own line; it may name the server, so strangers are not shown it."""

    cause: Cause
    detail: str

    @property
    def advice(self) -> str:
        """What it takes, in a sentence."""
        return _ADVICE[self.cause]

    @property
    def line(self) -> str:
        """For a terminal or a log: the service, its address, the cause."""
        address = without_password(settings.ENVIRONMENT.database_url)
        return f"the database {address} is {self.cause.value}: {self.detail}"


_ADVICE = {
    Cause.LOCKED: "Another process holds a lock for longer than it should: a backup, a migration, a shell.",
    Cause.FULL: "Its disk has no room for what would be written. Free some, and it goes on by itself.",
    Cause.READ_ONLY: "It takes no writes: a standby after a failover, or a file without write permission.",
    Cause.DOWN: "It does not answer, or ended the connection.",
    Cause.DAMAGED: "Its file is not what it was written as. Restore a backup before anything else.",
    Cause.NOT_MIGRATED: "It lacks what this version stores: run `manage.py migrate`.",
}

# SQLite's primary result codes.
_SQLITE = {
    5: Cause.LOCKED,  # BUSY
    6: Cause.LOCKED,  # LOCKED
    8: Cause.READ_ONLY,  # READONLY
    3: Cause.READ_ONLY,  # PERM
    13: Cause.FULL,  # FULL
    10: Cause.DOWN,  # IOERR
    14: Cause.DOWN,  # CANTOPEN
    11: Cause.DAMAGED,  # CORRUPT
    26: Cause.DAMAGED,  # NOTADB
    15: Cause.LOCKED,  # PROTOCOL: the write-ahead log's lock was not had in time
}
# A full disk shows as one of these where SQLite grows one of the files beside the database.
_SQLITE_DISK = {10, 14}
_LEAST_ROOM_BYTES = 64 << 10
_MISSING = ("no such table", "no such column", "has no column named")

# PostgreSQL's states: the whole one, or the class that its first two characters are.
_SQLSTATES = {
    "08": Cause.DOWN,
    "25P03": Cause.DOWN,  # ended by us: idle in its transaction for too long
    "25006": Cause.READ_ONLY,
    "40": Cause.LOCKED,  # a deadlock, or a serialisation that failed
    "42P01": Cause.NOT_MIGRATED,
    "42703": Cause.NOT_MIGRATED,
    "53": Cause.DOWN,
    "53100": Cause.FULL,
    "55P03": Cause.LOCKED,
    "57": Cause.DOWN,
    "57014": Cause.LOCKED,  # a statement took too long
    "58": Cause.DOWN,
    "XX001": Cause.DAMAGED,
    "XX002": Cause.DAMAGED,
}
# Where only a text is left of the error.
_TEXTS = (
    ("locked", Cause.LOCKED),
    ("disk is full", Cause.FULL),
    ("No space left", Cause.FULL),
    ("readonly", Cause.READ_ONLY),
    ("read-only", Cause.READ_ONLY),
    ("malformed", Cause.DAMAGED),
    ("not a database", Cause.DAMAGED),
)


# A file beside the database that can't be written says as much: the audit log's anchor, a key.
_ERRNOS = {
    errno.ENOSPC: Cause.FULL,
    errno.EDQUOT: Cause.FULL,
    errno.EFBIG: Cause.FULL,
    errno.EROFS: Cause.READ_ONLY,
}


def outage_of(error: BaseException | None) -> Outage | None:
    """The outage behind this error, or behind what it was raised from; None for any other error."""
    for one in chain(error):
        if isinstance(one, OSError) and one.errno in _ERRNOS:
            return Outage(_ERRNOS[one.errno], detail_of(one))
        if isinstance(one, (DatabaseError, InterfaceError)):
            cause = _cause_of(one)
            return None if cause is None else Outage(cause, detail_of(one))
    return None


def detail_of(error: BaseException) -> str:
    """An error's own line: PostgreSQL quotes the statement in those that follow."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what it was raised from, and so on."""
    while error is not None:
        yield error
        error = error.__cause__


def _cause_of(error: DatabaseError | InterfaceError) -> Cause | None:
    if isinstance(error, (DataError, IntegrityError)):
        return None
    driver = error.__cause__
    code = getattr(driver, "sqlite_errorcode", None)
    if code is not None:
        return _of_sqlite(code & 0xFF, str(error))
    state = getattr(driver, "sqlstate", None)
    if state is not None:
        return _SQLSTATES.get(state) or _SQLSTATES.get(state[:2])
    said = next((cause for text, cause in _TEXTS if text in str(error)), None)
    if said is None and str(error).startswith(_MISSING):
        return Cause.NOT_MIGRATED
    # A connection that can't be made, or is gone, has no state to tell.
    if said is None and isinstance(error, (OperationalError, InterfaceError)):
        return Cause.DOWN
    return said


def _of_sqlite(code: int, text: str) -> Cause | None:
    if code in _SQLITE_DISK and not _has_room():
        return Cause.FULL
    if text.startswith(_MISSING):
        return Cause.NOT_MIGRATED
    return _SQLITE.get(code)


def _has_room() -> bool:
    """Whether SQLite's files can grow: its disk has room, and this process may write files that large."""
    file = Path(str(connection.settings_dict["NAME"]))
    try:
        if shutil.disk_usage(file.parent).free < _LEAST_ROOM_BYTES:
            return False
        largest = max(part.stat().st_size for part in file.parent.glob(f"{file.name}*"))
    except (OSError, ValueError):
        return True
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return limit == resource.RLIM_INFINITY or largest + _LEAST_ROOM_BYTES < limit
