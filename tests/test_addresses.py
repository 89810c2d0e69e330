"""The address of a page is written once, in a URL map."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOMS = ("gdsconsole", "topics", "dlq", "lag", "templates", "static/js")
FILES = [
    path
    for room in ROOMS
    for path in sorted(Path(room).rglob("*"))
    if path.suffix in {".py", ".html", ".js"} and path.name not in {"urls.py", "settings.py"}
]
LITERAL = re.compile(
    r"""["'](?:/(?:alerts|rules|topics|dlq|lag|brokers|pipelines|audit|people|account|overview|frame|palette)/)"""
)


def test_no_page_is_led_to_by_a_literal_address() -> None:
    found = [
        f"{path}:{number}: {line.strip()[:120]}"
        for path in FILES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if LITERAL.search(line)
    ]
    assert found == []
    assert len(FILES) > 300


@pytest.mark.parametrize("line", ['href="/alerts/?state=firing"', "f'/dlq/{pk}/'", 'retry_href="/lag/"'])
def test_one_would_be_found(line: str) -> None:
    assert LITERAL.search(line)
