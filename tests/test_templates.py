"""Templates can be read and edited: short lines, and no part that nothing shows."""

from __future__ import annotations

import re
from pathlib import Path

TEMPLATES = sorted(Path("templates").rglob("*.html"))
WIDTH = 120
# Those that Django or its handlers ask for by name.
BY_NAME = {
    "registration/login.html",
    "400.html",
    "403.html",
    "404.html",
    "500.html",
    "503.html",
    "admin/base_site.html",
}


def test_no_line_is_longer_than_its_reader_can_see() -> None:
    long = [
        f"{path}:{number}: {len(line)} characters"
        for path in TEMPLATES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > WIDTH
    ]
    assert long == []
    assert len(TEMPLATES) > 90


def test_every_template_is_shown_by_something() -> None:
    sources = [
        *TEMPLATES,
        *(path for room in ("gdsconsole", "topics", "dlq", "lag") for path in Path(room).rglob("*.py")),
    ]
    words = "\n".join(path.read_text() for path in sources)
    named = set(re.findall(r"""["']([\w/-]+\.html)["']""", words))
    made = {f"components/{part}.html" for part in re.findall(r'_component\(\s*context, "(\w+)"', words)}
    there = {str(path.relative_to("templates")) for path in TEMPLATES}
    assert there - named - made - BY_NAME == set()
