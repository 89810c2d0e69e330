"""The anchor: the chain's head as it was, kept outside of the database.

Sealed entries can't be made without the key, but an old state of the log can be put back whole, or nothing
left of it; and who has the key can make another chain. Each commit of an entry appends its number and digest
to a file, so that `verification.py` knows what has to be there. It is in the data directory, or better in
GDS_AUDIT_ANCHOR_DIR, on a disk that others look after.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection

from gdsconsole.audit import chain, keys

log = logging.getLogger(__name__)

# When a file is as large as this, its older lines are thinned.
LARGEST_BYTES = 1 << 20
KEPT_WHOLE = 2_000
_EVERY = 10


@dataclass(frozen=True, slots=True)
class Anchor:
    """Entry `number` had this digest at `at`. `is_ours` is None where the key of its seal is unknown."""

    number: int
    digest: str
    at: datetime
    is_ours: bool | None


@dataclass(frozen=True, slots=True)
class Anchors:
    """What was anchored, the oldest first; None in `found` where there is no file. `unread` counts lines
    that hold no anchor, `error` says why a file can't be read."""

    found: tuple[Anchor, ...] | None
    unread: int = 0
    error: str = ""


def append(*, number: int, digest: str, now: datetime) -> bool:
    """Write down the head; False, and a line in the process' log, where that can't be."""
    line = _line(number, digest, now, keys.ring().current)
    try:
        with _locked() as path:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                size = os.fstat(descriptor).st_size
                # A line that a full disk cut short must not take this one with it.
                torn = size and os.pread(descriptor, 1, size - 1) != b"\n"
                os.write(descriptor, (b"\n" if torn else b"") + line.encode())
            finally:
                os.close(descriptor)
            if size > LARGEST_BYTES:
                _thin(path)
    except OSError as error:
        log.error("audit entry %s could not be anchored in %s: %s", number, path_of_log(), error)
        return False
    return True


def read() -> Anchors:
    path = path_of_log()
    try:
        lines = path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return Anchors(None)
    except OSError as error:
        return Anchors(None, error=f"{path} can't be read: {error.strerror}")
    ring = keys.ring()
    parsed = [_parsed(line, ring) for line in lines if line]
    found = tuple(one for one in parsed if one is not None)
    return Anchors(found, unread=len(parsed) - len(found))


def newest() -> Anchor | None:
    """The last line; None where there is none that can be read."""
    try:
        with path_of_log().open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 1_000))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return None
    return _parsed(lines[-1], keys.ring()) if lines else None


def path_of_log() -> Path:
    """The anchor's file. It has the database's address in its name: another database is another log."""
    directory: Path = settings.GDS_AUDIT_ANCHOR_DIR or keys.directory()
    return directory / f"anchor-{_database()}.log"


def thinned(lines: Sequence[str]) -> list[str]:
    """Of old lines each tenth, and each that goes back: after an honest past numbers only grow."""
    old, kept = lines[:-KEPT_WHOLE], list(lines[-KEPT_WHOLE:])
    numbers = [_number(line) for line in lines]
    chosen = [
        line
        for at, line in enumerate(old)
        if at % _EVERY == 0 or numbers[at] >= numbers[at + 1] or (at and numbers[at] <= numbers[at - 1])
    ]
    return chosen + kept


def _number(line: str) -> int:
    first = line.partition(" ")[0]
    return int(first) if first.isdecimal() else -1


def _thin(path: Path) -> None:
    text = "".join(f"{line}\n" for line in thinned(path.read_text(errors="replace").splitlines()))
    fresh = path.with_suffix(".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)


@contextmanager
def _locked() -> Iterator[Path]:
    """The file's path, while no other process writes there."""
    path = path_of_log()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield path
    finally:
        os.close(descriptor)


def _line(number: int, digest: str, at: datetime, key: keys.Key) -> str:
    moment = at.astimezone(UTC).isoformat(timespec="milliseconds")
    return f"{number} {digest} {moment} {key.id} {_seal(key, number, digest, moment)}\n"


def _parsed(line: str, ring: keys.Ring) -> Anchor | None:
    words = line.split(" ")
    try:
        number, digest, moment, key_id, seal = words
        if len(seal) != len(chain.START):
            return None
        at = datetime.fromisoformat(moment)
        key = ring.known.get(key_id)
        ours = None if key is None else chain.is_same(seal, _seal(key, int(number), digest, moment))
        return Anchor(int(number), digest, at, ours)
    except ValueError:
        return None


def _seal(key: keys.Key, number: int, digest: str, moment: str) -> str:
    return chain.digest(key.secret, digest, {"anchor": number, "at": moment})


def _database() -> str:
    """The database's address in a few characters; a file's in the data directory stays when that moves."""
    options: dict[str, Any] = connection.settings_dict
    name = str(options["NAME"])
    if connection.vendor == "sqlite" and Path(name).is_relative_to(settings.GDS_DATA_DIR):
        name = str(Path(name).relative_to(settings.GDS_DATA_DIR))
    address = "|".join([connection.vendor, str(options["HOST"]), str(options["PORT"]), name])
    return sha256(address.encode()).hexdigest()[:12]
