"""What a start may skip because the last one did it with the same inputs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from gdsconsole.devstack import run_state
from gdsconsole.devstack.files import write_private
from gdsconsole.env import ROOT

_PACKAGES = ("gdsconsole", "topics", "dlq", "lag")


def code_digest(*also: str) -> str:
    """A digest of the project's Python files, its requirements, and the given values."""
    files = [path for package in _PACKAGES for path in (ROOT / package).rglob("*.py")]
    return _digest([*files, ROOT / "requirements.txt"], also)


def static_digest(*also: str) -> str:
    """A digest of the files that the pages are served with."""
    files = [path for path in (ROOT / "static").rglob("*") if path.is_file()]
    return _digest([*files, ROOT / "requirements.txt"], also)


def is_done(data_dir: Path, step: str, digest: str) -> bool:
    """True when the step was done with these inputs."""
    return _read(data_dir).get(step) == digest


def mark_done(data_dir: Path, step: str, digest: str) -> None:
    write_private(_file(data_dir), json.dumps({**_read(data_dir), step: digest}, indent=1))


def _file(data_dir: Path) -> Path:
    return run_state.directory(data_dir) / "prepared.json"


def _read(data_dir: Path) -> dict[str, str]:
    try:
        return {str(step): str(digest) for step, digest in json.loads(_file(data_dir).read_text()).items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _digest(files: Iterable[Path], also: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(str(path).encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    for value in also:
        digest.update(value.encode() + b"\0")
    return digest.hexdigest()
