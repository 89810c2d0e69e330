"""The keys that seal the log. They are outside of the database: who may write rows can't seal them.

A key comes from GDS_AUDIT_KEYS, or else from SECRET_KEY, by a one-way function. Each has an id, and each
entry names the key it was sealed with, so that old entries can be checked when there is a new key:
GDS_AUDIT_KEYS names older ones behind the newest, and what came from a SECRET_KEY is kept in `audit/keys` of
the data directory.
"""

from __future__ import annotations

import hmac
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from django.conf import settings

log = logging.getLogger(__name__)

FILE = "keys"
_PURPOSE = b"gds-audit-2"


@dataclass(frozen=True, slots=True)
class Key:
    id: str
    secret: bytes


@dataclass(frozen=True, slots=True)
class Ring:
    """`current` seals; every key in `known`, by its id, can be checked with. `unread` are lines of the
    file of keys that hold none."""

    current: Key
    known: Mapping[str, Key]
    unread: int = 0


def directory() -> Path:
    """What the audit keeps outside of the database."""
    path: Path = settings.GDS_DATA_DIR / "audit"
    return path


def derived(secret: str) -> Key:
    """The key that comes from a secret text, which it doesn't give away."""
    made = hmac.new(secret.encode(), _PURPOSE, sha256).digest()
    return Key(sha256(_PURPOSE + made).hexdigest()[:12], made)


def ring() -> Ring:
    """The keys as this process knows them; read once."""
    return _ring(settings.SECRET_KEY, tuple(settings.GDS_AUDIT_KEYS), directory())


def read_again() -> Ring:
    """The keys as they are now."""
    _ring.cache_clear()
    return ring()


@lru_cache(maxsize=4)
def _ring(secret: str, named: tuple[str, ...], where: Path) -> Ring:
    given = [derived(one) for one in named]
    own = derived(secret)
    kept, unread = _kept(where / FILE)
    if not given and own.id not in kept:
        _keep(where / FILE, own)
    known = {**kept, own.id: own, **{key.id: key for key in given}}
    return Ring(given[0] if given else own, known, unread)


def _kept(path: Path) -> tuple[dict[str, Key], int]:
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return {}, 0
    except (OSError, UnicodeDecodeError) as error:
        log.error("the audit's keys in %s can't be read: %s", path, error)
        return {}, 1
    found: dict[str, Key] = {}
    for line in lines:
        try:
            name, text = line.split()
            found[name] = Key(name, bytes.fromhex(text))
        except ValueError:
            continue
    return found, len(lines) - len(found)


def _keep(path: Path, key: Key) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{key.id} {key.secret.hex()}\n")
    except OSError as error:
        log.warning("the audit's key %s isn't kept in %s, SECRET_KEY alone holds it: %s", key.id, path, error)
