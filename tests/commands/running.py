"""Runs `manage.py` as a user does: another process, with its own standard streams."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MANAGE = Path(__file__).resolve().parents[2] / "manage.py"


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def result(self) -> Any:
        """What it printed, which must be one JSON value and nothing else."""
        return json.loads(self.out)


def start(*words: str, **environment: str) -> subprocess.Popen[bytes]:
    """`manage.py words…`, with the test's environment and these variables on top."""
    return subprocess.Popen(
        [sys.executable, str(MANAGE), *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", **environment},
        cwd=MANAGE.parent,
    )


def end(process: subprocess.Popen[bytes], given: bytes | None = None, *, timeout_s: float = 60.0) -> Ended:
    """Give it its input and wait for its end; one that doesn't end is killed, and fails the test."""
    try:
        out, err = process.communicate(given, timeout=timeout_s)
    finally:
        process.kill()
        process.wait()
    return Ended(process.returncode, out.decode(), err.decode())


def manage(*words: str, given: bytes = b"", **environment: str) -> Ended:
    return end(start(*words, **environment), given)
