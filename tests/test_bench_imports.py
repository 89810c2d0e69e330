"""What the benchmarks import is there: they run too seldom to tell by themselves."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

OURS = {"gdsconsole", "topics", "dlq", "lag", "tests"}
SCRIPTS = sorted(Path("bench").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_benchmark_imports_what_is_there(script: Path) -> None:
    missing = [name for name in imported(script) if not is_there(*name)]
    assert missing == []


def imported(script: Path) -> list[tuple[str, str]]:
    """(module, name) of everything that is imported from the console and its tests."""
    return [
        (node.module, alias.name)
        for node in ast.walk(ast.parse(script.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in OURS
        for alias in node.names
    ]


def is_there(module: str, name: str) -> bool:
    try:
        if hasattr(importlib.import_module(module), name):
            return True
        importlib.import_module(f"{module}.{name}")
    except ModuleNotFoundError:
        return False
    return True
