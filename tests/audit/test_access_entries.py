"""Sign-ins, failed sign-ins and refused attempts."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from gdsconsole.access import sync_roles
from gdsconsole.audit.models import AuditEntry
from gdsconsole.audit.services import REFUSED_OF_ONE
from gdsconsole.pipelines import services
from gdsconsole.pipelines.models import Pipeline

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def viewer() -> User:
    sync_roles()
    services.ensure(groups={"alerting": "gds-alerting"})
    user = User.objects.create_user("viewer", password="right")
    user.groups.add(Group.objects.get(name="viewer"))
    return user


def sentences() -> list[tuple[str, str, str]]:
    return [(one.actor, one.sentence, one.outcome) for one in AuditEntry.objects.order_by("number")]


@pytest.mark.parametrize("page", ["/login/", "/admin/login/"])
def test_a_sign_in(client: Client, page: str, viewer: User):
    User.objects.filter(pk=viewer.pk).update(is_staff=True)
    client.post(page, {"username": "viewer", "password": "right"})
    assert sentences() == [("viewer", "signed in from 127.0.0.1", "done")]


def test_a_wrong_password(client: Client):
    client.post("/login/", {"username": "viewer", "password": "wrong"})
    assert sentences() == [("somebody", "could not sign in as viewer from 127.0.0.1", "refused")]
    assert AuditEntry.objects.get().target == "viewer"


def test_a_name_that_is_nobodys_may_be_a_password_and_is_not_kept(client: Client):
    client.post("/login/", {"username": "correct horse", "password": "viewer"})
    assert sentences() == [("somebody", "could not sign in as an unknown user from 127.0.0.1", "refused")]
    assert "horse" not in str(AuditEntry.objects.values().get())


def test_guessing_passwords_fills_no_log(client: Client):
    for number in range(3 * REFUSED_OF_ONE):
        client.post("/login/", {"username": "viewer", "password": f"guess {number}"})
    assert AuditEntry.objects.count() == REFUSED_OF_ONE


@pytest.fixture
def signed_in(client: Client, viewer: User) -> Client:
    client.force_login(viewer)
    return client


def refused() -> list[str]:
    return [one.sentence for one in AuditEntry.objects.filter(actor="viewer", outcome="refused")]


def test_a_post_that_needs_a_permission(signed_in: Client):
    assert signed_in.post("/pipelines/alerting/pause/").status_code == 403
    assert refused() == ["tried POST /pipelines/alerting/pause/"]
    assert Pipeline.objects.get().state == "running"


def test_the_admin_refuses_by_its_own_login(signed_in: Client):
    assert signed_in.post("/admin/topics/alertrule/add/", {"name": "x"}).status_code == 302
    assert refused() == ["tried POST /admin/topics/alertrule/add/"]


def test_staff_without_the_permission(signed_in: Client, viewer: User):
    User.objects.filter(pk=viewer.pk).update(is_staff=True)
    assert signed_in.post("/admin/topics/topicdefinition/add/", {"name": "x"}).status_code == 403
    assert refused() == ["tried POST /admin/topics/topicdefinition/add/"]


def test_a_forged_post(viewer: User):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(viewer)
    assert strict.post("/pipelines/alerting/pause/").status_code == 403
    assert refused() == ["tried POST /pipelines/alerting/pause/"]


def test_looking_is_no_attempt_and_nobody_has_no_name(signed_in: Client):
    assert signed_in.get("/dlq/replay/").status_code == 403
    assert signed_in.post("/pipelines/").status_code == 405
    assert Client().post("/pipelines/alerting/pause/").status_code == 302
    assert refused() == []


def test_refused_clicks_fill_no_log(signed_in: Client):
    for _ in range(2 * REFUSED_OF_ONE):
        signed_in.post("/pipelines/alerting/pause/")
    assert len(refused()) == REFUSED_OF_ONE


def test_a_log_that_cannot_be_written_refuses_all_the_same(signed_in: Client, monkeypatch: Any, caplog: Any):
    from django.db import OperationalError

    def locked(**_: Any) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr("gdsconsole.audit.refusals.record_refusal", locked)
    assert signed_in.post("/pipelines/alerting/pause/").status_code == 403
    assert "viewer was refused POST /pipelines/alerting/pause/" in caplog.text
