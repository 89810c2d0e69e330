"""The environment is installed when the pins changed, and only then."""

from __future__ import annotations

from pathlib import Path

import pytest

from gdsconsole import bootstrap


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "requirements.txt").write_text("django==5.2\n")
    (tmp_path / "requirements-dev.txt").write_text("django==5.2\npytest==9\n")
    return tmp_path


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that pip was asked to install; making an environment is a file here."""
    asked: list[str] = []

    def make(venv: Path, python: str) -> None:
        (venv / "bin").mkdir(parents=True, exist_ok=True)
        (venv / "bin" / "python").touch()
        asked.append(f"venv {python}")

    def pip(venv: Path, requirements: Path) -> bool:
        asked.append(requirements.name)
        return True

    monkeypatch.setattr(bootstrap, "_make_venv", make)
    monkeypatch.setattr(bootstrap, "_pip", pip)
    return asked


def install(root: Path, *, dev: bool = False, python: str = "3.11.7") -> bool:
    return bootstrap.install(root / ".venv", root=root, python=python, dev=dev)


def test_twice_is_once(root: Path, installed: list[str]) -> None:
    assert install(root)
    assert not install(root)
    assert installed == ["venv 3.11.7", "requirements.txt"]


def test_changed_pins_are_installed(root: Path, installed: list[str]) -> None:
    install(root)
    (root / "requirements.txt").write_text("django==5.3\n")
    assert install(root)
    assert installed == ["venv 3.11.7", "requirements.txt", "requirements.txt"]


def test_an_environment_for_tests_serves_users_too(root: Path, installed: list[str]) -> None:
    install(root, dev=True)
    assert not install(root)
    assert not install(root, dev=True)
    assert installed == ["venv 3.11.7", "requirements-dev.txt"]


def test_another_python_starts_anew(root: Path, installed: list[str]) -> None:
    install(root)
    assert install(root, python="3.12.1")
    assert installed[-2:] == ["venv 3.12.1", "requirements.txt"]


def test_a_failed_install_is_tried_again_and_leaves_no_stamp(
    root: Path, installed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []
    monkeypatch.setattr(bootstrap, "_pip", lambda venv, requirements: bool(tries.append(1)))
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(bootstrap.CannotInstall):
        install(root)
    assert len(tries) == bootstrap.ATTEMPTS
    assert not (root / ".venv" / ".installed").exists()
