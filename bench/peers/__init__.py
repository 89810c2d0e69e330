"""Others that do the same work, each in a virtual environment of its own.

A peer's script is given its own arguments and prints one JSON line with `seconds` and `messages`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import stage

HERE = Path(__file__).resolve().parent


def runs(script: str, *words: str) -> float:
    """Run a peer's script in its environment; messages a second."""
    python = environment(script)
    done = subprocess.run(
        [str(python), str(HERE / f"{script}.py"), *words], capture_output=True, text=True, timeout=900
    )
    if done.returncode:
        raise SystemExit(f"peer {script}: {done.stderr.strip()[-2000:]}")
    told = json.loads(done.stdout.strip().splitlines()[-1])
    return float(told["messages"] / told["seconds"])


def environment(script: str) -> Path:
    """The Python that has the script's requirements; made once and kept in the cache directory."""
    wanted = (HERE / f"{script}.txt").read_text()
    home = stage.CACHE / script
    python, kept = home / "bin" / "python", home / "requirements.txt"
    if not (kept.is_file() and kept.read_text() == wanted):
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "-r", str(HERE / f"{script}.txt")]
        subprocess.run(install, check=True, stdout=sys.stderr)
        kept.write_text(wanted)
    return python
