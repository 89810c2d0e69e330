"""Sign-ins, failed sign-ins and refused attempts."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client

from gdsconsole.access import sync_roles
from gdsconsole.audit.attempts import REFUSED_OF_ONE
from gdsconsole.audit.models import AuditEntry
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


def test_guessing_passwords_fills_no_log_and_is_counted(client: Client):
    for number in range(3 * REFUSED_OF_ONE):
        client.post("/login/", {"username": "viewer", "password": f"guess {number}"})
    *alone, counted = AuditEntry.objects.order_by("number")
    assert len(alone) == REFUSED_OF_ONE
    assert counted.sentence == "could not sign in as viewer, 10 more times"
    assert counted.changes == {"attempts": (None, 10)}


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
    assert len(refused()) == REFUSED_OF_ONE + 1
    assert refused()[0] == "tried what they may not, 10 more times"


def test_a_log_that_cannot_be_written_refuses_all_the_same(signed_in: Client, monkeypatch: Any, caplog: Any):
    from django.db import OperationalError

    def locked(**_: Any) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr("gdsconsole.audit.refusals.record_refusal", locked)
    assert signed_in.post("/pipelines/alerting/pause/").status_code == 403
    assert "viewer was refused POST /pipelines/alerting/pause/" in caplog.text


@pytest.fixture
def root(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("root"))
    return client


def done() -> list[str]:
    found = AuditEntry.objects.filter(action="access.account").order_by("number")
    return [f"{one.actor} {one.sentence}" for one in found]


def user_form(user: User, **changes: Any) -> dict[str, Any]:
    day, time = f"{user.date_joined:%Y-%m-%d %H:%M:%S}".split()
    return {
        "username": user.username,
        "is_active": "on",
        "date_joined_0": day,
        "date_joined_1": time,
        "initial-date_joined_0": day,
        "initial-date_joined_1": time,
        "groups": [group.pk for group in user.groups.all()],
        **changes,
    }


def test_accounts_in_the_admin(root: Client, viewer: User):
    page = f"/admin/auth/user/{viewer.pk}/change/"
    assert root.post(page, user_form(viewer)).status_code == 302
    assert done() == []
    roles = {group.name: group.pk for group in Group.objects.all()}
    root.post(page, user_form(viewer, groups=[roles["operator"], roles["viewer"]], is_staff="on"))
    entry = AuditEntry.objects.order_by("-number")[0]
    assert entry.changes["groups"] == ("viewer", "operator, viewer")
    assert entry.changes["is_staff"] == (False, True)
    password = {"password1": "s3cret-Phrase", "password2": "s3cret-Phrase"}
    root.post(f"/admin/auth/user/{viewer.pk}/password/", password)
    root.post("/admin/auth/user/add/", {"username": "new", **password})
    root.post(f"/admin/auth/user/{viewer.pk}/delete/", {"post": "yes"})
    action = {"action": "delete_selected", "_selected_action": [roles["reviewer"]], "post": "yes"}
    root.post("/admin/auth/group/", action)
    assert done() == [
        "root changed user viewer",
        "root set the password of user viewer",
        "root added user new",
        "root deleted user viewer",
        "root deleted role reviewer",
    ]
    assert not any("s3cret" in one.details for one in AuditEntry.objects.all())


def test_a_role_that_is_given_more_says_what(root: Client):
    group = Group.objects.get(name="viewer")
    more = Permission.objects.get(codename="control_pipeline")
    kept = [one.pk for one in group.permissions.all()]
    root.post(f"/admin/auth/group/{group.pk}/change/", {"name": "viewer", "permissions": [*kept, more.pk]})
    assert done() == ["root changed role viewer"]
    before, after = AuditEntry.objects.get(action="access.account").changes["permissions"]
    assert "control" not in before
    assert len(after) >= len(before)
