"""`make check`'s audit: known vulnerabilities in the pinned packages.

Where the database of vulnerabilities can't be reached it warns and passes: a check that fails with
the network would be switched off.

    python -m gdsconsole.devstack.audit requirements.txt
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence


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
    if found is None:
        sys.stderr.write("warning: not audited, the database of vulnerabilities can't be reached\n")
        return 0
    for line in found:
        sys.stderr.write(f"vulnerable: {line}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
