"""Roles of a console's own, beside the four it comes with: what is done to them, with its audit entry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.contrib.auth.models import Group, Permission
from django.db import transaction
from django.db.models import QuerySet
from django.urls import reverse

from gdsconsole.access import APPS, ROLES
from gdsconsole.audit.services import Changes, record
from gdsconsole.people.powers import Actor, NotYours, Powers, powers_of_roles
from gdsconsole.people.services import ACCOUNT, NameTaken, keeping_an_admin


class UnknownRole(LookupError):
    """There is no role of this number."""


class Fixed(ValueError):
    """One of the four: what they may is the console's, the same after each upgrade."""


def permissions() -> QuerySet[Permission]:
    """What a role can give: everything that the console's own pages ask for."""
    ours = Permission.objects.filter(content_type__app_label__in=APPS)
    return ours.select_related("content_type").order_by("content_type__app_label", "name")


def full_name(permission: Permission) -> str:
    return f"{permission.content_type.app_label}.{permission.codename}"


@transaction.atomic
def create_role(*, actor: Actor, name: str, chosen: Sequence[Permission], now: datetime) -> Group:
    """Raises NameTaken, NotYours."""
    _require_free(name)
    _require_own(actor, chosen)
    role = Group.objects.create(name=name)
    role.permissions.set(chosen)
    _record(actor, "added role", role, now=now, changes={"permissions": (None, _names(chosen))})
    return role


@transaction.atomic
def change_role(
    *, actor: Actor, role_id: int, name: str, chosen: Sequence[Permission], now: datetime
) -> Group:
    """Whoever has the role has the rest of it within seconds. Raises UnknownRole, Fixed, NotYours, NameTaken,
    LastAdmin."""
    role = _role(actor, role_id)
    _require_free(name, but=role)
    _require_own(actor, chosen)
    before = {"name": role.name, "permissions": _names(role.permissions.all())}
    after = {"name": name, "permissions": _names(chosen)}
    if before != after:
        with keeping_an_admin():
            role.name = name
            role.save(update_fields=["name"])
            role.permissions.set(chosen)
        changes = {field: (before[field], after[field]) for field in after if before[field] != after[field]}
        _record(actor, "changed role", role, now=now, changes=changes)
    return role


@transaction.atomic
def delete_role(*, actor: Actor, role_id: int, now: datetime) -> str:
    """Its name. Raises UnknownRole, Fixed, NotYours, LastAdmin."""
    role = _role(actor, role_id)
    name = role.name
    with keeping_an_admin():
        role.delete()
    _record(actor, "deleted role", role, now=now)
    return name


def may_change(actor: Actor, role: Group) -> bool:
    return role.name not in ROLES and actor.powers.covers(powers_of_roles([role]))


def _role(actor: Actor, role_id: int) -> Group:
    role = Group.objects.select_for_update().filter(pk=role_id).first()
    if role is None:
        raise UnknownRole(f"there is no role number {role_id}")
    if role.name in ROLES:
        raise Fixed(f"{role.name} is one of the console's own roles and stays as it is: make another")
    if not may_change(actor, role):
        raise NotYours(f"the role {role.name} gives more than you have yourself")
    return role


def _require_free(name: str, *, but: Group | None = None) -> None:
    taken = Group.objects.filter(name__iexact=name)
    if (taken.exclude(pk=but.pk) if but else taken).exists():
        raise NameTaken(f"name: there is a role {name!r} already")


def _require_own(actor: Actor, chosen: Iterable[Permission]) -> None:
    for permission in chosen:
        if not actor.powers.covers(Powers(frozenset({full_name(permission)}))):
            raise NotYours(f"nobody gives what they don't have: {permission.name}")


def _names(chosen: Iterable[Permission]) -> str:
    return ", ".join(sorted(full_name(permission) for permission in chosen))


def _record(actor: Actor, did: str, role: Group, *, now: datetime, changes: Changes | None = None) -> None:
    record(
        actor=actor.name,
        action=ACCOUNT,
        sentence=f"{did} {role.name}",
        target=role.name,
        target_url=reverse("people:roles"),
        changes=changes,
        now=now,
    )
