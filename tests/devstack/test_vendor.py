"""The committed third-party browser files are the pinned ones, and a wrong one is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from gdsconsole.devstack.vendor import SUMS, TESTS_VENDOR, VENDOR, WrongVendorFile, verify


@pytest.mark.parametrize("folder", [VENDOR, TESTS_VENDOR])
def test_the_committed_files_are_the_pinned_ones(folder: Path) -> None:
    assert verify(folder) == len((folder / SUMS).read_text().splitlines())


@pytest.mark.parametrize("folder", [VENDOR, TESTS_VENDOR])
def test_each_package_has_its_licence_beside_it(folder: Path) -> None:
    for package in json.loads((folder / "vendor.json").read_text())["packages"]:
        kept = next(path for path in package["files"].values() if path.endswith("LICENSE"))
        assert (folder / kept).stat().st_size > 100, package["name"]
        assert package["license"]


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return shutil.copytree(TESTS_VENDOR, tmp_path / "vendor")


def test_a_changed_file_is_named(copied: Path) -> None:
    with (copied / "axe-core" / "axe.min.js").open("a") as file:
        file.write("\n")
    with pytest.raises(WrongVendorFile, match=r"axe\.min\.js is not the file that was pinned"):
        verify(copied)


@pytest.mark.parametrize("stray", ["axe-core/more.js", "other/new.js"])
def test_a_file_that_nobody_pinned_is_named(copied: Path, stray: str) -> None:
    (copied / stray).parent.mkdir(exist_ok=True)
    (copied / stray).write_text("")
    with pytest.raises(WrongVendorFile, match=stray):
        verify(copied)


def test_a_missing_file_is_named(copied: Path) -> None:
    (copied / "axe-core" / "LICENSE").unlink()
    with pytest.raises(WrongVendorFile, match="axe-core/LICENSE"):
        verify(copied)
