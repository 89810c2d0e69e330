"""The hash chain: what an entry's digest is made of. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256

# What the first entry follows.
START = "0" * 64
# Part of every digest, so that entries of another format could never pass for these.
FORMAT = "gds-audit-1"


def digest(previous: str, fields: Mapping[str, str | int]) -> str:
    """SHA-256 over the previous digest and the entry's fields, as JSON with sorted names."""
    canonical = json.dumps(
        {"format": FORMAT, "previous": previous, "fields": dict(fields)},
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=True,
    )
    return sha256(canonical.encode("ascii")).hexdigest()
