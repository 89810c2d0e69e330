"""`make check`'s audit: known vulnerabilities in the pinned packages.

Where the database of vulnerabilities can't be reached nothing was checked, and it says so: on a desk that
passes, because work goes on without a network; in CI it fails, unless DEPENDENCY_AUDIT=optional says that
CI has no way to the database.

    python -m gdsconsole.devstack.audit requirements.txt
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

SETTING = "DEPENDENCY_AUDIT"
REQUIRED, OPTIONAL = "required", "optional"


def vulnerabilities(report: str) -> list[str] | None:
    """`package version: ids` of each vulnerable one in pip-audit's JSON.

    None when it is no report, or one in which every package was skipped: the database knew of none.
    """
    try:
        packages = json.loads(report)["dependencies"]
        if packages and all("skip_reason" in package for package in packages):
            return None
        return [
            f"{package['name']} {package['version']}: {', '.join(found['id'] for found in package['vulns'])}"
            for package in packages
            if package.get("vulns")
        ]
    except (ValueError, KeyError, TypeError):
        return None


def judged(found: Sequence[str] | None, environ: Mapping[str, str]) -> tuple[int, list[str]]:
    """The exit code and what is said. `found` is None where nothing could be checked."""
    wanted = environ.get(SETTING) or (REQUIRED if environ.get("CI") else OPTIONAL)
    if wanted not in (REQUIRED, OPTIONAL):
        return 2, [f"{SETTING}: {wanted!r} is not {REQUIRED} or {OPTIONAL}"]
    if found is None:
        said = "not checked: the database of vulnerabilities can't be reached"
        if wanted == OPTIONAL:
            return 0, [f"dependencies {said}"]
        return 1, [f"dependencies {said}; {SETTING}={OPTIONAL} accepts that"]
    if found:
        return 1, [f"vulnerable: {line}" for line in found]
    return 0, ["dependencies checked: no known vulnerability"]


def main(files: Sequence[str]) -> int:
    command = [sys.executable, "-m", "pip_audit", "--progress-spinner", "off", "--format", "json"]
    command += ["--disable-pip", "--require-hashes", "--timeout", "20"]
    for file in files:
        command += ["--requirement", file]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
        found = vulnerabilities(done.stdout)
    except subprocess.TimeoutExpired:
        found = None
    code, said = judged(found, os.environ)
    for line in said:
        sys.stderr.write(f"{line}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
