"""What outlives a start: ports, console.env, the data directory."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gdsconsole.devstack import before_settings, environment, ports, prepared
from gdsconsole.devstack.errors import CannotStart
from gdsconsole.devstack.kafka_cluster import BrokerPorts


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_console_env_keeps_other_lines_and_is_private(tmp_path: Path) -> None:
    file = tmp_path / "console.env"
    file.write_text("# mine\nEMAIL_URL=smtp://mail\nREDIS_URL=old\n")
    environment.keep(tmp_path, {"REDIS_URL": "redis://127.0.0.1:1/0", "NOTE": "it's a $value # here"})
    assert file.read_text().startswith("# mine\nEMAIL_URL=smtp://mail\n")
    assert environment.read_kept(tmp_path) == {
        "EMAIL_URL": "smtp://mail",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "NOTE": "it's a $value # here",
    }
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_secret_key_is_made_once(tmp_path: Path) -> None:
    environment.ensure_secret_key(tmp_path, {})
    made = environment.read_kept(tmp_path)["SECRET_KEY"]
    environment.ensure_secret_key(tmp_path, {})
    assert environment.read_kept(tmp_path)["SECRET_KEY"] == made
    assert len(made) >= 50


def test_a_given_secret_key_is_not_kept(tmp_path: Path) -> None:
    environment.ensure_secret_key(tmp_path, {"SECRET_KEY": "given"})
    assert environment.read_kept(tmp_path) == {}


def test_ports_stay_from_start_to_start(tmp_path: Path) -> None:
    first = environment.settle_layout(tmp_path, brokers=2)
    assert len(first.brokers) == 2
    assert len(first.all_ports) == 7
    assert environment.settle_layout(tmp_path, brokers=None) == first


def test_redis_gets_a_password_where_it_had_none(tmp_path: Path) -> None:
    made = environment.settle_layout(tmp_path, brokers=1)
    environment.keep_layout(tmp_path, environment.Layout(made.redis_port, made.brokers))
    again = environment.settle_layout(tmp_path, brokers=None)
    assert len(again.redis_password) > 30
    assert environment.settle_layout(tmp_path, brokers=None) == again
    assert again.redis_url == f"redis://:{again.redis_password}@127.0.0.1:{again.redis_port}/0"
    assert again.redis_password not in repr(again)
    assert (tmp_path / "layout.json").stat().st_mode & 0o777 == 0o600


def test_a_data_directory_is_closed_to_others(tmp_path: Path) -> None:
    ours, foreign = tmp_path / "ours", tmp_path / "foreign"
    for directory in (ours, foreign):
        (directory / "logs").mkdir(parents=True, mode=0o755)
        for name in ("logs/web.log", "console.sqlite3", "console.sqlite3-wal"):
            (directory / name).touch(0o644)
    (ours / "layout.json").touch()
    for directory in (ours, foreign):
        environment.make_data_dir(directory)
    assert ours.stat().st_mode & 0o777 == 0o700
    for name in ("logs/web.log", "console.sqlite3", "console.sqlite3-wal"):
        assert (ours / name).stat().st_mode & 0o777 == 0o600
    # Somebody's own directory, which isn't a console's, stays as it is.
    assert foreign.stat().st_mode & 0o777 == 0o755
    empty = tmp_path / "empty"
    empty.mkdir(0o755)
    environment.make_data_dir(empty)
    assert empty.stat().st_mode & 0o777 == 0o700


def test_another_number_of_brokers_is_refused(tmp_path: Path) -> None:
    environment.settle_layout(tmp_path, brokers=1)
    with pytest.raises(CannotStart, match=r"of 1 brokers, not 3: `manage.py up --reset`"):
        environment.settle_layout(tmp_path, brokers=3)


def test_a_taken_standard_port_is_replaced_at_the_first_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "is_free", lambda port: port != 9092)
    layout = environment.settle_layout(tmp_path, brokers=1)
    assert layout.brokers[0].client != 9092
    assert layout.brokers[0].controller == 9192


def test_a_kept_port_that_is_taken_is_named_with_its_holder(tmp_path: Path, taken: int) -> None:
    rest = ports.free(3)
    environment.keep_layout(tmp_path, environment.Layout(taken, (BrokerPorts(*rest),)))
    with pytest.raises(
        CannotStart, match=rf"port {taken}, needed for Redis, is taken by .* \(pid {os.getpid()}\)"
    ):
        environment.settle_layout(tmp_path, brokers=None)


def test_ports_are_below_the_range_of_outgoing_connections() -> None:
    assert all(20_000 <= port < 32_000 for port in ports.free(20))


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotStart, match=r"data directory .*/file/var can't be written to .*GDS_DATA_DIR"):
        environment.make_data_dir(tmp_path / "file" / "var")


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "NEEDED_BYTES", 1 << 60)
    with pytest.raises(CannotStart, match=r"GB are free on the disk of .* are needed"):
        environment.check_disk(tmp_path)


def test_up_makes_the_data_directory_and_status_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir = tmp_path / "var"
    monkeypatch.setattr(before_settings, "_given", None)
    monkeypatch.setenv("GDS_DATA_DIR", str(data_dir))
    monkeypatch.delenv("SECRET_KEY", raising=False)
    before_settings.prepare(["manage.py", "status"])
    assert not data_dir.exists()
    assert len(os.environ["SECRET_KEY"]) > 32
    monkeypatch.delenv("SECRET_KEY")
    before_settings.prepare(["manage.py", "up"])
    assert data_dir.stat().st_mode & 0o777 == 0o700
    assert "SECRET_KEY" in environment.read_kept(data_dir)
    assert "SECRET_KEY" not in os.environ


def test_a_step_is_skipped_only_for_the_same_inputs(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    digest = prepared.code_digest("sqlite:///a")
    assert not prepared.is_done(tmp_path, "database", digest)
    prepared.mark_done(tmp_path, "database", digest)
    assert prepared.is_done(tmp_path, "database", prepared.code_digest("sqlite:///a"))
    assert not prepared.is_done(tmp_path, "database", prepared.code_digest("sqlite:///b"))
    assert not prepared.is_done(tmp_path, "static", digest)
