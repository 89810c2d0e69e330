"""The import contracts hold every module that calls itself pure, and no module or room grows out of hand."""

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


def test_no_module_has_more_than_400_lines() -> None:
    rooms = ("gdsconsole", "topics", "dlq", "lag", "tests", "bench")
    lengths = {
        path: len(path.read_text().splitlines()) for room in rooms for path in Path(room).rglob("*.py")
    }
    assert {path: lines for path, lines in lengths.items() if lines > 400} == {}
    assert len(lengths) > 600


def test_no_room_of_topics_and_kafka_has_more_than_15_modules() -> None:
    rooms = [
        path.parent for room in ("topics", "gdsconsole/kafka") for path in Path(room).rglob("__init__.py")
    ]
    modules = {room: len(list(room.glob("*.py"))) - 1 for room in rooms if room.name != "migrations"}
    assert {room: count for room, count in modules.items() if count > 15} == {}
    assert len(modules) > 15
