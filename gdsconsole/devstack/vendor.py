"""Third-party browser files: fetched once by a maintainer, pinned, verified, committed.

`static/vendor/vendor.json` names each package, its version and its SHA-512; `static/vendor/SHA256SUMS`
holds the hash of every file that was taken from them. The console serves the committed files, so a
user needs neither Node nor a network; `python -m gdsconsole.devstack.vendor --fetch` renews them. What
only tests load is kept in the same way under `tests/vendor/`.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
VENDOR = ROOT / "static" / "vendor"
TESTS_VENDOR = ROOT / "tests" / "vendor"
SUMS = "SHA256SUMS"
_KEPT_BY_HAND = {"vendor.json", SUMS}


class WrongVendorFile(Exception):
    """A package or a committed file isn't the pinned one; the message names it."""


def fetch(vendor: Path = VENDOR) -> list[str]:
    """Fetch every pinned package with npm, verify it, copy its files; return the written paths."""
    written: dict[str, bytes] = {}
    for package in json.loads((vendor / "vendor.json").read_text())["packages"]:
        with tempfile.TemporaryDirectory() as folder:
            archive = _download(package, Path(folder))
            written |= _chosen_files(package, archive)
    for path, content in written.items():
        target = vendor / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    lines = [f"{hashlib.sha256(content).hexdigest()}  {path}" for path, content in sorted(written.items())]
    (vendor / SUMS).write_text("\n".join(lines) + "\n")
    return sorted(written)


def verify(vendor: Path = VENDOR) -> int:
    """Compare the committed files with their hashes; return how many, raise `WrongVendorFile`."""
    expected = {}
    for line in (vendor / SUMS).read_text().splitlines():
        digest, path = line.split("  ", 1)
        expected[path] = digest
    present = {str(p.relative_to(vendor)) for p in vendor.rglob("*") if p.is_file()} - _KEPT_BY_HAND
    if stray := present ^ expected.keys():
        raise WrongVendorFile(f"{vendor} and {SUMS} differ in: {', '.join(sorted(stray))}")
    for path, digest in expected.items():
        if hashlib.sha256((vendor / path).read_bytes()).hexdigest() != digest:
            raise WrongVendorFile(f"{vendor / path} is not the file that was pinned")
    return len(expected)


def _download(package: Mapping[str, Any], folder: Path) -> Path:
    spec = f"{package['name']}@{package['version']}"
    done = subprocess.run(
        ["npm", "pack", "--silent", spec],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    archives = list(folder.glob("*.tgz"))
    if done.returncode != 0 or len(archives) != 1:
        raise WrongVendorFile(f"{spec} could not be fetched: {done.stderr.strip()[-300:]}")
    digest = base64.b64encode(hashlib.sha512(archives[0].read_bytes()).digest()).decode()
    if f"sha512-{digest}" != package["integrity"]:
        raise WrongVendorFile(f"{spec} has SHA-512 {digest}, pinned is {package['integrity']}")
    return archives[0]


def _chosen_files(package: Mapping[str, Any], archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:

        def read(path: str) -> bytes:
            try:
                member = tar.extractfile(f"package/{path}")
            except KeyError:
                member = None
            if member is None:
                raise WrongVendorFile(f"{package['name']}@{package['version']} has no file {path}")
            return member.read()

        files = {to: read(source) for source, to in package["files"].items()}
        if sprite := package.get("sprite"):
            symbols = [
                symbol(name, read(f"{sprite['from']}/{name}.svg").decode()) for name in sprite["icons"]
            ]
            files[sprite["to"]] = sprite_of(symbols).encode()
    return files


def symbol(name: str, svg: str) -> str:
    """One icon's drawing as a `<symbol>`; stroke and size are left to the page's CSS."""
    inner = re.search(r"<svg[^>]*>(.*)</svg>", svg, re.DOTALL)
    if inner is None:
        raise WrongVendorFile(f"icon {name} is not an SVG drawing")
    drawing = re.sub(r"\s*\n\s*", "", inner.group(1)).strip()
    return f'<symbol id="{name}" viewBox="0 0 24 24">{drawing}</symbol>'


def sprite_of(symbols: Sequence[str]) -> str:
    return '<svg xmlns="http://www.w3.org/2000/svg">\n' + "\n".join(symbols) + "\n</svg>\n"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m gdsconsole.devstack.vendor",
        description="Verify the third-party browser files, or fetch them anew (needs npm).",
        epilog="Example: python -m gdsconsole.devstack.vendor --fetch",
    )
    parser.add_argument("--fetch", action="store_true", help="fetch the pinned packages again")
    wants = parser.parse_args(argv)
    try:
        count = 0
        for folder in (VENDOR, TESTS_VENDOR):
            if wants.fetch:
                fetch(folder)
            count += verify(folder)
    except (WrongVendorFile, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stderr.write(f"{count} vendored files are the pinned ones\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
