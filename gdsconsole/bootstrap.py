"""Makes the virtual environment that everything else runs in. Run by `make`, with any Python >= 3.11.

    python3 gdsconsole/bootstrap.py [--dev]

Installs only when the requirements, or the Python, are others than the last time; with `--dev` what
tests and checks need too, which an install without it leaves there. Uses the standard
library alone, and names what is missing in one line.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NEEDED = (3, 11)
ATTEMPTS = 3


class CannotInstall(Exception):
    """The message is one line that says what to do."""


def install(venv: Path, *, root: Path, python: str, dev: bool) -> bool:
    """Make `venv` hold the packages that the pinned files name; False when it does already.

    Raises CannotInstall.
    """
    run, all_ = root / "requirements.txt", root / "requirements-dev.txt"
    complete = digest_of([run, all_], python)
    wanted = complete if dev else digest_of([run], python)
    stamp = venv / ".installed"
    there = (venv / "bin" / "python").exists()
    installed = stamp.read_text() if there and stamp.is_file() else ""
    if installed in {wanted, complete}:
        return False
    if not there or (installed and not installed.startswith(f"{python} ")):
        _make_venv(venv, python)
    stamp.unlink(missing_ok=True)
    for attempt in range(1, ATTEMPTS + 1):
        if _pip(venv, all_ if dev else run):
            stamp.write_text(wanted)
            return True
        if attempt < ATTEMPTS:
            _say(f"pip failed, trying again ({attempt} of {ATTEMPTS - 1})")
            time.sleep(2 * attempt)
    raise CannotInstall("pip could not install the pinned packages: its last lines above say why")


def digest_of(requirements: list[Path], python: str) -> str:
    """What the environment's content depends on; the Python's version comes first."""
    content = hashlib.sha256(b"".join(path.read_bytes() for path in requirements))
    return f"{python} {content.hexdigest()}"


def _make_venv(venv: Path, python: str) -> None:
    _say(f"making {venv.name} with Python {python}")
    command = [sys.executable, "-m", "venv", "--clear", str(venv)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = " ".join((done.stdout + done.stderr).split())
        hint = " (Debian: apt install python3-venv)" if "ensurepip" in said else ""
        raise CannotInstall(f"python -m venv failed{hint}: {said[-300:]}")


def _pip(venv: Path, requirements: Path) -> bool:
    command = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--require-hashes"]
    command += ["--disable-pip-version-check", "--no-input", "--requirement", str(requirements)]
    environment = {**os.environ, "PIP_ROOT_USER_ACTION": "ignore"}
    return subprocess.run(command, env=environment, check=False).returncode == 0


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def main(arguments: list[str]) -> int:
    python = "{}.{}.{}".format(*sys.version_info[:3])
    if sys.version_info < NEEDED:
        wanted = ".".join(map(str, NEEDED))
        _say(f"Python {python} is too old, {wanted} or newer is needed: make PYTHON=/path/to/python3.11 ...")
        return 1
    began = time.monotonic()
    try:
        if install(ROOT / ".venv", root=ROOT, python=python, dev="--dev" in arguments):
            _say(f"  {time.monotonic() - began:5.1f} s  packages installed in .venv")
    except (CannotInstall, OSError) as error:
        _say(f"make: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
