"""No password is shown: not in `status`, not in the error of an address that can't be used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.test import RequestFactory
from django.views.debug import technical_500_response

from gdsconsole import env, service_addresses
from gdsconsole.devstack import jars
from gdsconsole.devstack.errors import CannotStart
from gdsconsole.env import ROOT

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("redis://:hunter2@127.0.0.1:6379/0", "redis://:***@127.0.0.1:6379/0"),
        ("redis://user:hunter2@h/0", "redis://user:***@h/0"),
        ("postgresql://gds:hunter2@h:5432/gds", "postgresql://gds:***@h:5432/gds"),
        ("postgresql://gds:p%40hunter2@h/gds", "postgresql://gds:***@h/gds"),
        ("postgresql://gds:x@hunter2@h/gds", "postgresql://gds:***@h/gds"),
        ("postgresql://h/gds?password=hunter2&sslmode=require",
         "postgresql://h/gds?password=***&sslmode=require"),
        ("rediss://h/0?ssl_keyfile_password=hunter2", "rediss://h/0?ssl_keyfile_password=***"),
        ("redis://:a/hunter2@h:1/0", "redis://***"),
        ("redis://:a#hunter2@h:1/0", "redis://***"),
        ("redis://:a?hunter2@h:1/0", "redis://***"),
        ("redis://:a[hunter2@h:1/0", "redis://***"),
        ("redis://:1/hunter2@h:1/0", "redis://***@h:1/0"),
        ("user:hunter2@h", "***"),
        ("sqlite:////tmp/a@b.sqlite3", "sqlite:////tmp/a@b.sqlite3"),
        ("sqlite://:memory:", "sqlite://:memory:"),
    ],
)  # fmt: skip
def test_what_is_shown_of_an_address(url: str, shown: str) -> None:
    assert service_addresses.without_password(url) == shown


@pytest.mark.parametrize("password", ["hunter2", "hunter%32"])
def test_a_text_about_an_address_is_shown_without_its_password(password: str) -> None:
    url = f"https://me:{password}@maven.example.org/repo"
    said = service_addresses.hidden_in(f"nonnumeric port: 'hunter2@maven.example.org' of {url}", url)
    assert said == "nonnumeric port: '***@maven.example.org' of https://me:***@maven.example.org/repo"


def test_a_repository_that_cannot_be_reached_is_named_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match=r"from http://me:\*\*\*@127\.0\.0\.1:1/repo") as refused:
        jars.fetch(repository="http://me:hunter2@127.0.0.1:1/repo", directory=tmp_path, backoff_s=0.01)
    assert SECRET not in str(refused.value)


NAMES = ("DATABASE_URL", "REDIS_URL", "EMAIL_URL")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "url",
    [
        "foo://u:hunter2@h/0",
        "u:hunter2@h",
        "hunter2",
        "{}://u:hunter2@h:notaport/0",
        "{}://u:hunter2@h:99999999/0",
        "{}://u:a/hunter2@h/0",
        "{}://u:a[hunter2@h/0",
        "{}://u:a#hunter2@h/0",
        "{}://u:a?hunter2@h/0",
        "{}://u:1/hunter2@h/0",
    ],
)
def test_an_address_that_cannot_be_used_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, name: str, url: str
) -> None:
    scheme = {"DATABASE_URL": "postgresql", "REDIS_URL": "redis", "EMAIL_URL": "smtp"}[name]
    monkeypatch.setenv(name, url.format(scheme))
    with pytest.raises(env.WrongEnvironment) as wrong:
        env.load()
    assert str(wrong.value).startswith(f"{name}: ")
    assert SECRET not in str(wrong.value)
    # Nor in what a traceback tells of where it came from.
    assert wrong.value.__suppress_context__


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("DATABASE_URL", "postgresql://u:p%2Fhunter2@h:5432/db?sslmode=require"),
        ("DATABASE_URL", "sqlite://:memory:"),
        ("DATABASE_URL", "sqlite:////tmp/a b@c.sqlite3"),
        ("REDIS_URL", "rediss://:hunter2@h:6379/1"),
        ("REDIS_URL", "unix:///run/redis.sock?db=1"),
        ("EMAIL_URL", "smtp://me%40example.org:hunter2@mail.example.org:587/?tls=True"),
        ("EMAIL_URL", "console:"),
        ("EMAIL_URL", "file:///tmp/mails"),
    ],
)
def test_good_addresses_are_taken_and_the_environment_does_not_print_them(
    monkeypatch: pytest.MonkeyPatch, name: str, url: str
) -> None:
    monkeypatch.setenv(name, url)
    monkeypatch.setenv("KAFKA_CONFIG_SASL_PASSWORD", SECRET)
    monkeypatch.setenv("GDS_AUDIT_KEYS", f"{SECRET} and many more characters")
    assert SECRET not in repr(env.load())


def test_a_web_process_that_cannot_start_prints_no_password(tmp_path: Path) -> None:
    """uvicorn and celery print the whole traceback, with every error behind the error."""
    wrong = {"REDIS_URL": "redis://:a/hunter2@h:1/0", "GDS_DATA_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", "import django; django.setup()"],
        cwd=ROOT,
        env={**os.environ, **wrong, "DJANGO_SETTINGS_MODULE": "gdsconsole.settings"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "REDIS_URL: redis://*** can't be read" in done.stderr
    assert SECRET not in done.stderr


@pytest.fixture
def secrets(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.REDIS_URL = settings.CELERY_BROKER_URL = f"redis://:{SECRET}@h/0"
    settings.KAFKA_CONFIG = {"sasl.password": SECRET}
    monkeypatch.setitem(settings.DATABASES["default"], "OPTIONS", {"passfile": SECRET})


@pytest.mark.usefixtures("secrets")
def test_the_page_of_an_error_in_debug_mode_shows_no_password(rf: RequestFactory) -> None:
    try:
        raise RuntimeError("a fault")
    except RuntimeError:
        page = technical_500_response(rf.get("/"), *sys.exc_info()).content.decode()
    assert "REDIS_URL" in page
    assert SECRET not in page
