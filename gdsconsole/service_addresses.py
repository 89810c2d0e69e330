"""Addresses of services, which may hold a password: what of them may be shown, and which can be used."""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

HIDDEN = "***"
# A path, or `:memory:` where others have host and port.
_FILE = "sqlite"
_SECRET_PARAMETER = re.compile(r"pass|pwd|secret|token|key|credential", re.IGNORECASE)


class WrongAddress(ValueError):
    """An address that can't be used; the message shows nothing of what may be a password."""


def without_password(url: str) -> str:
    """The address with its passwords replaced, those in its query too; one that can't be read is hidden
    whole but for its scheme."""
    scheme, there, rest = url.partition("://")
    if not there:
        return HIDDEN if "@" in url else url
    if scheme == _FILE:
        return url
    try:
        split = urlsplit(url)
        _ = split.port
    except ValueError:
        return f"{scheme}://{HIDDEN}"
    if _password_was_cut(url):
        return f"{scheme}://{HIDDEN}@{rest.rpartition('@')[2]}"
    user, at, host = split.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    pairs = parse_qsl(split.query, keep_blank_values=True)
    query = split.query
    if any(_SECRET_PARAMETER.search(parameter) for parameter, _ in pairs):
        shown = [(one, HIDDEN if _SECRET_PARAMETER.search(one) else value) for one, value in pairs]
        query = urlencode(shown, safe="*/:@")
    netloc = f"{name}:{HIDDEN}{at}{host}" if colon else split.netloc
    return urlunsplit(split._replace(netloc=netloc, query=query))


def hidden_in(text: str, url: str) -> str:
    """A text about this address, such as a library's error, without the address' password."""
    try:
        password = urlsplit(url).password
    except ValueError:
        password = None
    for secret in filter(None, (url, password, unquote(password or ""))):
        text = text.replace(secret, without_password(url) if secret == url else HIDDEN)
    return text


def check(url: str, schemes: Collection[str]) -> None:
    """Raise `WrongAddress` for one that isn't of these schemes, or whose parts can't be told apart."""
    scheme = url.partition(":")[0] if ":" in url else ""
    if scheme not in schemes:
        shown = f"{scheme!r}" if scheme else "what has no scheme"
        raise WrongAddress(f"{shown} is not {' or '.join(schemes)}")
    if scheme == _FILE:
        return
    try:
        split = urlsplit(url)
        _ = split.port
        is_whole = not _password_was_cut(url)
    except ValueError:
        is_whole = False
    if not is_whole:
        raise WrongAddress(
            f"{scheme}://{HIDDEN} can't be read: a port is a number, and in a password the characters "
            "/ ? # @ : [ ] are written as %2F %3F %23 %40 %3A %5B %5D"
        )


def _password_was_cut(url: str) -> bool:
    """True where a password's own / ? or # ended the part that passwords are in."""
    split = urlsplit(url)
    behind = f"{split.path}{split.fragment}" + (split.query if "=" not in split.query else "")
    return bool(split.netloc) and "@" in behind and ":" in split.netloc and "@" not in split.netloc
