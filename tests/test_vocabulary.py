"""The words are those of docs/glossary.md: on pages, in commands, in code and in docs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOMS = ("gdsconsole", "topics", "dlq", "lag", "templates", "static/js", "bench", "docs")
FILES = [
    path
    for room in ROOMS
    for path in sorted(Path(room).rglob("*"))
    if path.suffix in {".py", ".html", ".js", ".md"}
] + [Path("README.md"), Path("CHANGELOG.md"), Path("CONTRIBUTING.md")]
# What really is copied there: text into the clipboard, and a session into a cache.
COPIED = {Path("static/js/dialogs.js"), Path("docs/decisions/0002-sessions.md")}
REPLACED = {
    "copies of replicas and consumers": re.compile(
        r"\b[Cc]opies\b|[a-z_]Cop(?:y|ies)\b|\b[Cc]opy (?:\d|of a pipeline|of the group)"
        r"|[a-z]_cop(?:y|ies)\b(?!\()"
    ),
    "Take": re.compile(r"\bTake (?:it|all)\b|>Take<|label=\"Take"),
    "Kept for": re.compile(r"Kept for<|\"Kept for|Kept there until"),
    "Records ever": re.compile(r"Records (?:ever|held)"),
    "Who has it": re.compile(r"Who has it|Anybody's|[Nn]obody has it"),
    "Fullest partition": re.compile(r"Fullest partition|Partition limit"),
    "Landed at": re.compile(r"Landed at|>came back|\"came back"),
    "Catches up": re.compile(r">Catches up<|\"Catches up\""),
    "User name": re.compile(r"User name"),
}


@pytest.mark.parametrize("word", REPLACED)
def test_no_word_of_our_own_is_back(word: str) -> None:
    found = [
        f"{path}:{number}: {line.strip()[:140]}"
        for path in FILES
        if path not in COPIED
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if REPLACED[word].search(line)
    ]
    assert found == []
    assert len(FILES) > 400


def test_the_glossary_is_two_pages_at_most() -> None:
    assert len(Path("docs/glossary.md").read_text().split()) < 1_000
