"""Names that come from outside, in addresses and in sentences. Pure.

Kafka takes nearly any text for a consumer group's name: none at all, `..`, a line break. A name is looked
up as it is, shown so that all of it can be seen, and never written in other letters than its own.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import unicodedata

from gdsconsole.text.visible import visible

NO_NAME = "(no name)"
# What an address writes for a name that can't stand in it as it is. A name of its own may begin so too.
_MARK = "~"
# Browsers walk up these segments, however they are encoded.
_WALKED = frozenset({".", ".."})


def shown(name: str) -> str:
    """The name for people: the empty one in words, what can't be seen written out."""
    return str(visible(name)) or NO_NAME


def bounded(name: str, longest: int) -> str:
    """The name, or where it is longer its beginning and a digest, which tells it from others like it."""
    if len(name) <= longest:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{name[: longest - 17]}…{digest}"


def in_address(name: str, *, with_slashes: bool) -> str:
    """What stands for the name in an address: itself, or its UTF-8 in base64 behind a mark."""
    if _stands_by_itself(name, with_slashes=with_slashes):
        return name
    return _MARK + base64.urlsafe_b64encode(name.encode("utf-8", "surrogatepass")).decode().rstrip("=")


def from_address(text: str) -> str:
    """The name that `in_address` wrote. Raises ValueError for what it never writes."""
    name = text
    if text.startswith(_MARK):
        encoded = text[len(_MARK) :]
        try:
            name = base64.b64decode(encoded + "=" * (-len(encoded) % 4), b"-_", validate=True).decode()
        except binascii.Error as error:
            raise ValueError(f"{text!r} is no name") from error
    if "\0" in name:
        raise ValueError(f"{text!r}: no name holds a NUL")
    return name


def _stands_by_itself(name: str, *, with_slashes: bool) -> bool:
    segments = name.split("/")
    return not (
        name.startswith(_MARK)
        or any(not segment or segment in _WALKED for segment in segments)
        or (len(segments) > 1 and not with_slashes)
        # Proxies take these for slashes, or for the end.
        or "\\" in name
        or any(unicodedata.category(one) in {"Cc", "Cs", "Zl", "Zp"} for one in name)
    )
