"""Which page may open a socket: one of the console's own origin, scheme and port included. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}


def origin_of(url: str) -> tuple[str, str, int] | None:
    """Scheme, host and port of an address or an `Origin` header; None when it has none of its own."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname or port is None:
        return None
    return parts.scheme, parts.hostname, port


def is_same_origin(headers: Mapping[str, str], *, secure: bool, trusted: Sequence[str]) -> bool:
    """Whether the `Origin` header is this console's own, or a trusted one.

    `secure` tells that the browser spoke TLS; `trusted` is `CSRF_TRUSTED_ORIGINS`, where
    `https://*.example.com` covers the hosts below a domain. The `Host` header must have been checked
    against `ALLOWED_HOSTS` before: it is what the origin is compared with. A browser always sends an
    `Origin`; without one the answer is no.
    """
    asked = origin_of(headers.get("origin", ""))
    if asked is None:
        return False
    own = origin_of(f"{'https' if secure else 'http'}://{headers.get('host', '')}")
    return asked == own or any(_covers(pattern, asked) for pattern in trusted)


def _covers(pattern: str, asked: tuple[str, str, int]) -> bool:
    scheme, _, rest = pattern.partition("://")
    if not rest.startswith("*."):
        return origin_of(pattern) == asked
    below = origin_of(f"{scheme}://{rest[2:]}")
    return (
        below is not None
        and (asked[0], asked[2]) == (below[0], below[2])
        and asked[1].endswith(f".{below[1]}")
    )


def header_map(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """ASGI headers by lower-case name; of a repeated one the first, so that a second can't override it."""
    found: dict[str, str] = {}
    for name, value in headers:
        found.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))
    return found
