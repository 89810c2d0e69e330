"""`manage.py users` as scripts see it."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.utils import timezone

from gdsconsole.audit.models import AuditEntry
from gdsconsole.people import lockout
from gdsconsole.people.lockout_rules import PAIR_TRIES

pytestmark = pytest.mark.django_db


@pytest.fixture
def users(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run it with JSON; `given` is standard input, which is no terminal."""

    def run(*words: str, given: str = "") -> Any:
        monkeypatch.setattr("sys.stdin", io.StringIO(given))
        call_command("users", *words, "--json")
        return json.loads(capsys.readouterr().out)

    return run


def test_the_first_superuser(users: Any) -> None:
    made = users("create-admin", "ada", "--email", "ada@example.org")
    user = authenticate(username="ada", password=made["password"])
    assert isinstance(user, User)
    assert (made["name"], user.is_superuser, user.is_staff) == ("ada", True, True)
    entry = AuditEntry.objects.get()
    assert entry.actor.startswith("cli:")
    assert entry.sentence == "added superuser ada"
    assert made["password"] not in str(AuditEntry.objects.values())


def test_a_password_is_read_from_a_pipe_and_not_told(users: Any) -> None:
    made = users("create-admin", "ada", "--password-stdin", given="correct horse battery\n")
    assert made == {"name": "ada", "password": None}
    assert authenticate(username="ada", password="correct horse battery") is not None


@pytest.mark.parametrize(
    ("words", "given", "said"),
    [
        (("create-admin", "Ada"), "", "username: there is an account 'Ada' already"),
        (("create-admin", "a b"), "", "username: Enter a valid username"),
        (("create-admin", "eve", "--email", "no"), "", "email: Enter a valid email address"),
        (("create-admin", "eve", "--password-stdin"), "12\n", "password: This password is too short"),
        (("set-password", "nobody"), "", "there is no user 'nobody'"),
        (("unlock", "nobody"), "", "there is no user 'nobody'"),
    ],
)
def test_what_is_wrong_is_named(users: Any, words: tuple[str, ...], given: str, said: str) -> None:
    User.objects.create_user("ada")
    with pytest.raises(CommandError) as error:
        users(*words, given=given)
    assert str(error.value).startswith(said)
    assert User.objects.count() == 1


def test_another_password_ends_the_sessions(users: Any, client: Any) -> None:
    client.force_login(User.objects.create_user("ada", password="old"))
    made = users("set-password", "ada")
    assert authenticate(username="ada", password=made["password"]) is not None
    assert client.get("/account/").status_code == 302


def test_a_lockout_is_ended(users: Any) -> None:
    user = User.objects.create_user("ada", password="pw")
    for _ in range(PAIR_TRIES):
        lockout.begin(name="ada", address="192.0.2.1", now=timezone.now())
    assert users("list")[0]["state"] == "locked"
    users("unlock", "ada")
    assert lockout.locks_of(user, now=timezone.now()) == []


def test_the_list(users: Any, capsys: pytest.CaptureFixture[str]) -> None:
    User.objects.create_superuser("root", "root@example.org", "pw")
    assert users("list") == [
        {
            "name": "root",
            "email": "root@example.org",
            "state": "active",
            "roles": [],
            "superuser": True,
            "sessions": 0,
            "last_sign_in": None,
        }
    ]
    call_command("users", "list")
    assert capsys.readouterr().out.split() == ["root", "active", "superuser"]
