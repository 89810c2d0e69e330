"""Somebody who may not is told what is lacking, who has it, and who can give it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, User
from django.db import OperationalError
from django.test import Client, RequestFactory

from gdsconsole.access import sync_roles
from gdsconsole.web.not_allowed import permission_denied, way_to
from gdsconsole.web.permissions import PermissionLacking

pytestmark = pytest.mark.django_db


def admins(*names: str) -> None:
    sync_roles()
    for name in names:
        User.objects.create_user(name).groups.set(Group.objects.filter(name="admin"))


def text_of(content: bytes) -> str:
    return " ".join(content.decode().split())


def test_what_is_lacking_and_who_gives_it(client_of: Callable[[str], Client]) -> None:
    viewer = client_of("viewer")
    admins("anna", "ben")
    page = viewer.post("/pipelines/alerting/pause/")
    assert page.status_code == 403
    text = text_of(page.content)
    assert "None of your roles lets you <strong>pause, resume and scale pipelines</strong>." in text
    assert "Operator, admin may." in text
    assert "<strong>anna</strong> or <strong>ben</strong> can give you a role that does." in text


def test_without_a_role_the_first_page_says_who_gives_one(client_of: Callable[[str], Client]) -> None:
    newcomer = client_of("newcomer")
    User.objects.create_superuser("root")
    assert "<strong>root</strong> can give you a role that does." in text_of(newcomer.get("/").content)


def test_who_left_gives_nothing() -> None:
    admins("anna")
    User.objects.update(is_active=False)
    assert way_to().givers == []


def test_of_many_a_few_are_named() -> None:
    admins(*(f"admin-{n}" for n in range(8)))
    way = way_to()
    assert (len(way.givers), way.more_givers) == (5, 3)


def test_a_name_is_text(client_of: Callable[[str], Client]) -> None:
    viewer = client_of("viewer")
    admins("<script>alert(1)</script>")
    assert "<script>alert" not in viewer.get("/audit/").content.decode()


def test_a_refusal_needs_no_database(rf: RequestFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(permission: str) -> list[str]:
        raise OperationalError("database is locked")

    monkeypatch.setattr("gdsconsole.web.not_allowed.roles_with", away)
    response = permission_denied(rf.get("/audit/"), PermissionLacking("audit.read_entries"))
    assert response.status_code == 403
    assert "An administrator can give you a role" in text_of(response.content)
