"""The import contracts hold every module that calls itself pure."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path


def _is_pure(path: Path) -> bool:
    summary = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n\n")[0]
    return re.search(r"\bPure\b|\(pure\)", summary) is not None


def test_what_calls_itself_pure_is_held_to_it() -> None:
    contracts = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (held,) = [one["source_modules"] for one in contracts if "pure" in one["name"]]
    rooms = ("gdsconsole", "topics", "dlq", "lag")
    pure = {
        ".".join(path.with_suffix("").parts)
        for room in rooms
        for path in Path(room).rglob("*.py")
        if _is_pure(path)
    }
    assert set(held) == pure
    assert len(pure) > 40
