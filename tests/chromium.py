"""Which Chromium the browser tests drive, and how `make test` gets one where there is none.

python -m tests.chromium      print its path, installing it first where that is needed
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

# For a container: no sandbox of its own, no GPU, little shared memory, and no traffic of the browser's own.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-background-networking",
]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find() -> Path | None:
    """The browser of CHROMIUM, PATH or playwright's own cache; None when there is none."""
    named = os.environ.get("CHROMIUM")
    if named:
        return Path(named)
    for name in NAMES:
        on_path = shutil.which(name)
        if on_path:
            return Path(on_path)
    return _of_playwright()


def install() -> Path | None:
    """As root on Debian its package, elsewhere playwright's build."""
    if hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for words in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
            subprocess.run(["apt-get", "--quiet", *words], env=environment, stdout=sys.stderr, check=False)
    else:
        subprocess.run(
            [sys.executable, "-m", "playwright", "install", "chromium"], stdout=sys.stderr, check=False
        )
    return find()


def _of_playwright() -> Path | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = Path(playwright.chromium.executable_path)
    return path if path.exists() else None


def main() -> int:
    found = find() or install()
    if found is None:
        sys.stderr.write("no Chromium, and none could be installed: the browser tests can't run\n")
        return 1
    sys.stdout.write(f"{found}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
