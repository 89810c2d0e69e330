"""The hash chain: what an entry's digest is made of. Pure."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from hashlib import sha256

# What the first entry follows.
START = "0" * 64
# Part of every digest, so that entries of another format could never pass for these.
FORMAT = "gds-audit-2"


def digest(secret: bytes, previous: str, fields: Mapping[str, str | int]) -> str:
    """HMAC-SHA256 over the previous digest and the entry's fields, as JSON with sorted names."""
    canonical = json.dumps(
        {"format": FORMAT, "previous": previous, "fields": dict(fields)},
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=True,
    )
    return hmac.new(secret, canonical.encode("ascii"), sha256).hexdigest()


def is_same(one: str, other: str) -> bool:
    """Compared in a time that says nothing of where they differ."""
    return hmac.compare_digest(one.encode(), other.encode())
