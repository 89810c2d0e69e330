"""JSON laid out for a person, by its tokens: nothing but white space is added, and nothing is taken away.

A parser would read 1.10 as 1.1, 1e400 as infinity, one of two fields of the same name, and an escape as its
character; and what somebody looks for in a failed message may be just that.
"""

from __future__ import annotations

import json
import re

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+|\s+')
_OPENING, _CLOSING = "{[", "}]"
DEEPEST = 64


def laid_out(text: str) -> str | None:
    """A JSON object or array with its items on lines of their own; one that has lines already, as it is.

    None for anything else, also for one that is nested more than `DEEPEST`.
    """
    inner = text.strip(" \t\r\n")
    if inner[:1] not in _OPENING or not inner or not _is_json(inner):
        return None
    begin = text.index(inner)
    return text[:begin] + (inner if "\n" in inner else _spread(inner) or "") + text[begin + len(inner) :]


def _is_json(text: str) -> bool:
    """Whether it is; numbers of any size, and NaN, which some writers put there."""
    depth = deepest = 0
    for token in _TOKEN.findall(text):
        depth += (token in _OPENING) - (token in _CLOSING)
        deepest = max(deepest, depth)
    if deepest > DEEPEST:
        return False
    try:
        json.loads(text, parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=tuple)
    except (ValueError, RecursionError):
        return False
    return True


def _spread(text: str) -> str:
    out: list[str] = []
    depth = 0
    before = space = ""  # the token before this one, and the white space that stood between them
    for token in _TOKEN.findall(text):
        if token.isspace():
            space = token
            continue
        if token in _CLOSING:
            depth -= 1
        if before and before in _OPENING:
            out.append(_broken(space, depth) if token not in _CLOSING else space)
        elif before == "," or token in _CLOSING:
            out.append(_broken(space, depth))
        else:
            out.append(space or (" " if before == ":" else ""))
        out.append(token)
        if token in _OPENING:
            depth += 1
        before, space = token, ""
    return "".join(out)


def _broken(space: str, depth: int) -> str:
    """A line break and its indentation, which the white space that was there becomes a part of."""
    line = "\n" + "  " * depth
    return line if line.endswith(space) else space + line
