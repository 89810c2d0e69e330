"""What each role may do, and what a new console starts with."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import Group, Permission, User

from gdsconsole import access
from gdsconsole.devstack import environment
from gdsconsole.management.commands.seed import make_demo_users

pytestmark = pytest.mark.django_db


def permissions_of(role: str) -> set[str]:
    granted = Group.objects.get(name=role).permissions.select_related("content_type")
    return {f"{one.content_type.app_label}.{one.codename}" for one in granted}


def beyond_looking(role: str) -> set[str]:
    return {name for name in permissions_of(role) if not name.partition(".")[2].startswith("view_")}


def test_a_viewer_may_look_at_everything_and_do_nothing() -> None:
    access.sync_roles()
    assert beyond_looking(access.VIEWER) == set()
    assert {"topics.view_alert", "dlq.view_deadletter", "pipelines.view_pipeline"} <= permissions_of(
        access.VIEWER
    )
    assert not any(
        name.startswith(("auth.", "sessions.", "admin.")) for name in permissions_of(access.VIEWER)
    )


def test_every_role_may_what_a_viewer_may() -> None:
    access.sync_roles()
    for role in access.ROLES:
        assert permissions_of(access.VIEWER) <= permissions_of(role)


def test_operators_and_reviewers_have_their_own_tasks() -> None:
    access.sync_roles()
    assert beyond_looking(access.OPERATOR) == {
        "topics.acknowledge_alert",
        "pipelines.control_pipeline",
        "pipelines.decide_halt",
        "audit.read_entries",
    }
    assert beyond_looking(access.REVIEWER) == {
        "dlq.change_deadletter",
        "dlq.replay_deadletter",
        "dlq.discard_deadletter",
        "audit.read_entries",
    }
    assert "topics.change_alertrule" in beyond_looking(access.ADMIN)


def test_sign_ins_and_refused_attempts_are_read_by_admins_alone() -> None:
    access.sync_roles()
    assert [role for role in access.ROLES if "audit.read_access" in permissions_of(role)] == [access.ADMIN]
    assert not any(name.startswith("audit.") for name in permissions_of(access.VIEWER))


def test_syncing_takes_back_what_is_not_written_down() -> None:
    access.sync_roles()
    Group.objects.get(name=access.VIEWER).permissions.add(
        Permission.objects.get(codename="replay_deadletter")
    )
    access.sync_roles()
    assert beyond_looking(access.VIEWER) == set()


def test_a_permission_that_no_model_declares_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "GRANTS", {"operator": ("topics.fly",)})
    with pytest.raises(LookupError, match=r"role operator: .* topics\.fly"):
        access.sync_roles()


def test_demo_users_have_their_role_and_a_password_that_is_kept(tmp_path: Path) -> None:
    access.sync_roles()
    assert make_demo_users(tmp_path) == 4
    for role, password in environment.read_users(tmp_path).items():
        user = authenticate(username=role, password=password)
        assert isinstance(user, User)
        assert [group.name for group in user.groups.all()] == [role]
        assert user.is_staff is (role == access.ADMIN)
        assert not user.is_superuser


def test_seeding_again_changes_no_password(tmp_path: Path) -> None:
    access.sync_roles()
    make_demo_users(tmp_path)
    kept = environment.read_users(tmp_path)
    User.objects.get(username="viewer").delete()
    assert make_demo_users(tmp_path) == 1
    assert environment.read_users(tmp_path) == kept
    assert authenticate(username="viewer", password=kept["viewer"]) is not None
