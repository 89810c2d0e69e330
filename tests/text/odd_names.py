"""Names that Kafka takes for a group, and where a browser goes when it follows the link to one."""

from __future__ import annotations

from urllib.parse import urlsplit

ODD = [
    "",
    " ",
    ".",
    "..",
    "../..",
    "a/../b",
    "/",
    "a//b",
    "a/",
    "/a",
    "~",
    "~Li4",
    "#",
    "?",
    "%",
    "%25",
    "%2f",
    "%2e%2e",
    "#a?b",
    "two\nlines",
    "a\\b",
    "a b",
    "\x1b[2J",
    "gepj.\u202eexe",
    "\u2028",
    "é 🙂",
    "<b>&amp;",
    "x" * 255,
]


def walked(path: str) -> str:
    """The path that a server gets when a browser follows the link: `.` and `..` walked, however written."""
    assert urlsplit(path).path == path, "a fragment or a query begins in it"
    kept: list[str] = []
    for segment in path.split("/"):
        match segment.lower().replace("%2e", "."):
            case "..":
                kept = kept[:-1]
            case ".":
                continue
            case _:
                kept.append(segment)
    return "/".join(kept)
