"""What there is one of stays one: clients of Redis, the clock."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings

FILES = [
    path
    for room in ("gdsconsole", "topics", "dlq", "lag")
    for path in (Path(settings.BASE_DIR) / room).rglob("*.py")
]


@pytest.mark.parametrize(
    ("pattern", "home"),
    [
        (r"\bRedis(?:\.from_url)?\(", ["gdsconsole/redis_clients.py"]),
        (r"def _?(?:utc_)?now\(\)", []),
    ],
)
def test_it_is_made_in_one_place(pattern: str, home: list[str]) -> None:
    found = {
        str(path.relative_to(settings.BASE_DIR)) for path in FILES if re.search(pattern, path.read_text())
    }
    assert sorted(found) == home
