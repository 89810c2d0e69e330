"""Managing people: nobody gives more than they have, and somebody who can is always left."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.utils import timezone

from gdsconsole.access import ROLES, sync_roles
from gdsconsole.audit.models import AuditEntry
from gdsconsole.people import roles, services
from gdsconsole.people.models import Session
from gdsconsole.people.powers import Actor, NotYours, actor_of, command, powers_of
from gdsconsole.people.services import LastAdmin, NameTaken, UnknownUser

pytestmark = pytest.mark.django_db


def make(name: str, *roles: str, **fields: Any) -> User:
    user = User.objects.create_user(name, password="pw", is_staff="admin" in roles, **fields)
    user.groups.set(Group.objects.filter(name__in=roles))
    return user


def group(name: str, *permissions: str) -> Group:
    made, _ = Group.objects.get_or_create(name=name)
    if permissions:
        made.permissions.set(Permission.objects.filter(codename__in=permissions))
    return made


@pytest.fixture(autouse=True)
def _roles(db: None) -> None:
    sync_roles()


@pytest.fixture
def admin(_roles: None) -> Actor:
    return actor_of(make("admin", "admin"))


@pytest.fixture
def helper(_roles: None) -> Actor:
    """Somebody who may manage people and look, and nothing else."""
    group("helper", "manage_people")
    return actor_of(make("helper", "helper", "viewer"))


def now() -> dict[str, Any]:
    return {"now": timezone.now()}


def change(actor: Actor, user: User, *roles: str, superuser: bool = False) -> User:
    return services.change_user(
        actor=actor,
        user_id=user.pk,
        roles=list(Group.objects.filter(name__in=roles)),
        email="",
        superuser=superuser,
        **now(),
    )


def newest() -> str:
    entry = AuditEntry.objects.latest("number")
    return f"{entry.actor} {entry.sentence}"


def test_an_admin_makes_a_user_who_has_no_password_yet(admin: Actor) -> None:
    user = services.create_user(
        actor=admin, username="olga", email="o@example.org", roles=[group("operator")], **now()
    )
    assert (user.has_usable_password(), user.is_staff, user.is_superuser) == (False, False, False)
    assert [role.name for role in user.groups.all()] == ["operator"]
    entry = AuditEntry.objects.latest("number")
    assert (entry.sentence, entry.target_url) == ("added user olga", f"/people/{user.pk}/")
    assert entry.changes == {"roles": (None, "operator"), "email": (None, "o@example.org")}


def test_a_name_is_taken_in_whatever_case(admin: Actor) -> None:
    with pytest.raises(NameTaken, match="username: there is an account 'ADMIN' already"):
        services.create_user(actor=admin, username="ADMIN", **now())


@pytest.mark.parametrize("role", ROLES)
def test_an_admin_gives_each_of_the_four_roles(admin: Actor, role: str) -> None:
    user = services.create_user(actor=admin, username="olga", roles=[group(role)], **now())
    assert user.is_staff is (role == "admin")


def test_nobody_gives_a_role_with_more_than_they_have(helper: Actor) -> None:
    services.create_user(actor=helper, username="vera", roles=[group("viewer")], **now())
    for role in ("operator", "reviewer", "admin"):
        with pytest.raises(NotYours, match=f"the role {role} gives more than you have"):
            services.create_user(actor=helper, username=f"x-{role}", roles=[group(role)], **now())
    assert not User.objects.filter(username__startswith="x-").exists()
    me = User.objects.get(username="helper")
    with pytest.raises(NotYours):
        change(helper, me, "helper", "viewer", "operator")
    assert powers_of(me).permissions == helper.powers.permissions


def test_nobody_but_a_superuser_makes_one(admin: Actor) -> None:
    viewer = make("viewer", "viewer")
    with pytest.raises(NotYours, match="only a superuser"):
        change(admin, viewer, "viewer", superuser=True)
    with pytest.raises(NotYours, match="only a superuser"):
        services.create_user(actor=admin, username="root", superuser=True, **now())
    root = actor_of(make("root", is_superuser=True))
    assert change(root, viewer, "viewer", superuser=True).is_superuser
    assert not change(root, viewer, "viewer").is_superuser


@pytest.mark.parametrize("more", ["superuser", "permission", "staff", "role"])
def test_who_may_more_is_not_to_be_changed_or_taken_over(helper: Actor, more: str) -> None:
    user = make("boss", "viewer", *(["operator"] if more == "role" else []))
    if more == "permission":
        user.user_permissions.add(Permission.objects.get(codename="replay_deadletter"))
    user.is_superuser, user.is_staff = more == "superuser", more == "staff"
    # Deactivated, an account still is what it would be: reactivating it would be the way in.
    user.is_active = False
    user.save()
    about: dict[str, Any] = {"actor": helper, "user_id": user.pk, **now()}
    for act in (
        lambda: change(helper, user, "viewer"),
        lambda: services.deactivate(reason="x", **about),
        lambda: services.reactivate(**about),
        lambda: services.sign_out_everywhere(**about),
        lambda: services.unlock(**about),
        lambda: services.set_password(password="mine", **about),
    ):
        with pytest.raises(NotYours):
            act()
    assert not AuditEntry.objects.exists()


def test_the_last_admin_stays(admin: Actor) -> None:
    me = User.objects.get(username="admin")
    with pytest.raises(LastAdmin, match="admin would be the last who may manage people"):
        change(admin, me, "viewer")
    with pytest.raises(NotYours, match="nobody deactivates their own account"):
        services.deactivate(actor=admin, user_id=me.pk, reason="x", **now())
    # One who can't sign in is nobody to rely on.
    services.create_user(actor=admin, username="invited", roles=[group("admin")], **now())
    with pytest.raises(LastAdmin):
        services.deactivate(actor=command(), user_id=me.pk, reason="x", **now())
    me.refresh_from_db()
    assert (me.is_active, [role.name for role in me.groups.all()]) == (True, ["admin"])
    make("second", "admin")
    services.deactivate(actor=command(), user_id=me.pk, reason="x", **now())
    with pytest.raises(LastAdmin):
        change(command(), User.objects.get(username="second"), "viewer")


def test_a_console_without_an_admin_can_still_be_changed() -> None:
    viewer = make("viewer", "viewer")
    assert change(command(), viewer, "operator").groups.get().name == "operator"


def test_roles_come_and_go_with_the_admins_pages(admin: Actor) -> None:
    user = make("olga", "operator")
    assert change(admin, user, "admin").is_staff
    assert AuditEntry.objects.latest("number").changes == {
        "roles": ("operator", "admin"),
        "staff": (False, True),
    }
    assert not change(admin, user, "viewer").is_staff
    entries = AuditEntry.objects.count()
    change(admin, user, "viewer")
    assert AuditEntry.objects.count() == entries


def test_deactivating_says_why_and_ends_what_is_open(admin: Actor, client: Any) -> None:
    user = make("olga", "operator")
    client.force_login(user)
    services.deactivate(actor=admin, user_id=user.pk, reason="left the team", **now())
    assert not Session.objects.filter(user=user).exists()
    entry = AuditEntry.objects.latest("number")
    assert (entry.sentence, entry.reason) == ("deactivated user olga", "left the team")
    services.reactivate(actor=admin, user_id=user.pk, **now())
    assert newest() == "admin reactivated user olga"
    assert User.objects.get(pk=user.pk).is_active


def test_somebody_elses_sessions_and_password(admin: Actor, client: Any) -> None:
    user = make("olga", "operator")
    client.force_login(user)
    assert services.sign_out_everywhere(actor=admin, user_id=user.pk, **now()) == 1
    assert newest() == "admin ended one session of user olga"
    services.set_password(actor=command(), user_id=user.pk, password="s3cret-Phrase", **now())
    assert newest().endswith("set the password of user olga")
    assert not any("s3cret" in str(row) for row in AuditEntry.objects.values())


def test_an_account_that_is_not_there_is_named(admin: Actor) -> None:
    with pytest.raises(UnknownUser, match="there is no user number 4711"):
        services.reactivate(actor=admin, user_id=4711, **now())


def can(*codenames: str) -> list[Permission]:
    return list(Permission.objects.filter(codename__in=codenames))


class TestRoles:
    def test_a_role_of_ones_own_gives_what_one_has(self, admin: Actor) -> None:
        chosen = can("view_alert", "acknowledge_alert")
        role = roles.create_role(actor=admin, name="night shift", chosen=chosen, **now())
        entry = AuditEntry.objects.latest("number")
        assert entry.sentence == "added role night shift"
        assert entry.changes["permissions"][1] == "topics.acknowledge_alert, topics.view_alert"
        roles.change_role(actor=admin, role_id=role.pk, name="nights", chosen=can("view_alert"), **now())
        assert AuditEntry.objects.latest("number").changes == {
            "name": ("night shift", "nights"),
            "permissions": ("topics.acknowledge_alert, topics.view_alert", "topics.view_alert"),
        }
        assert roles.delete_role(actor=admin, role_id=role.pk, **now()) == "nights"
        assert not Group.objects.filter(name="nights").exists()

    def test_nobody_gives_a_permission_they_do_not_have(self, helper: Actor) -> None:
        with pytest.raises(NotYours, match="nobody gives what they don't have"):
            roles.create_role(actor=helper, name="more", chosen=can("replay_deadletter"), **now())
        mine = Group.objects.get(name="helper")
        for chosen in (can("manage_people", "replay_deadletter"), can("change_user")):
            with pytest.raises(NotYours):
                roles.change_role(actor=helper, role_id=mine.pk, name="helper", chosen=chosen, **now())
        bigger = group("bigger", "replay_deadletter")
        for act in (
            lambda: roles.change_role(actor=helper, role_id=bigger.pk, name="x", chosen=[], **now()),
            lambda: roles.delete_role(actor=helper, role_id=bigger.pk, **now()),
        ):
            with pytest.raises(NotYours, match="gives more than you have"):
                act()

    def test_the_four_stay_as_they_are_also_by_name(self, admin: Actor) -> None:
        for name in ROLES:
            with pytest.raises(roles.Fixed):
                roles.delete_role(actor=admin, role_id=group(name).pk, **now())
            with pytest.raises(NameTaken):
                roles.create_role(actor=admin, name=name.upper(), chosen=[], **now())
        with pytest.raises(roles.UnknownRole, match="there is no role number 4711"):
            roles.delete_role(actor=admin, role_id=4711, **now())

    def test_a_role_that_holds_the_last_admin_stays(self, helper: Actor) -> None:
        mine = Group.objects.get(name="helper")
        with pytest.raises(LastAdmin):
            roles.delete_role(actor=helper, role_id=mine.pk, **now())
        with pytest.raises(LastAdmin):
            roles.change_role(actor=helper, role_id=mine.pk, name="helper", chosen=[], **now())
        assert Group.objects.filter(name="helper", permissions__codename="manage_people").exists()
