"""What somebody may, and who may decide about whom: nobody gives more than they have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.contrib.auth.models import Group, Permission, User
from django.db.models import Q, QuerySet

from gdsconsole.access import ADMIN
from gdsconsole.audit.actors import command_actor
from gdsconsole.people.models import MANAGE

# Of an account whose user has not set one yet.
NO_PASSWORD = Q(password__startswith=UNUSABLE_PASSWORD_PREFIX)


class NotYours(PermissionError):
    """The actor may not do this to that account, or give that role; the message says why."""


@dataclass(frozen=True, slots=True)
class Powers:
    """Permissions by name; a superuser has them all. `staff` opens Django's admin."""

    permissions: frozenset[str]
    staff: bool = False
    superuser: bool = False

    def covers(self, other: Powers) -> bool:
        if self.superuser:
            return True
        return (
            not other.superuser
            and (self.staff or not other.staff)
            and (self.permissions >= other.permissions)
        )


@dataclass(frozen=True, slots=True)
class Actor:
    """Who decides about accounts. `user_id` is None for a command: who runs it owns the database."""

    name: str
    powers: Powers
    user_id: int | None = None


def actor_of(user: User) -> Actor:
    return Actor(user.get_username(), powers_of(user), user.pk)


def command() -> Actor:
    return Actor(command_actor(), Powers(frozenset(), staff=True, superuser=True))


def powers_of(user: User) -> Powers:
    """Of an account as it is, or would be once it is active again."""
    given = Permission.objects.filter(Q(user=user) | Q(group__user=user))
    return Powers(_names(given), user.is_staff, user.is_superuser)


def powers_of_roles(roles: Iterable[Group]) -> Powers:
    """What roles give; the admin role opens Django's admin too, where the rules are edited."""
    chosen = list(roles)
    given = Permission.objects.filter(group__in=chosen)
    return Powers(_names(given), staff=any(role.name == ADMIN for role in chosen))


def admins() -> QuerySet[User]:
    """Who may manage people and can sign in to do it."""
    label, _, codename = MANAGE.partition(".")
    manage = Permission.objects.filter(content_type__app_label=label, codename=codename)
    able = User.objects.filter(
        Q(is_superuser=True) | Q(user_permissions__in=manage) | Q(groups__permissions__in=manage)
    )
    return User.objects.filter(pk__in=able.values("pk"), is_active=True).exclude(NO_PASSWORD)


def require_over(actor: Actor, account: User) -> None:
    """Raises NotYours where the account may what the actor may not: whoever could change it could use it."""
    if not actor.powers.covers(powers_of(account)):
        what = "is a superuser" if account.is_superuser else "may more than you"
        raise NotYours(f"{account} {what}: only somebody who may as much can change the account")


def require_to_give(actor: Actor, roles: Iterable[Group]) -> None:
    """Raises NotYours naming the first role that gives more than the actor has."""
    for role in roles:
        if not actor.powers.covers(powers_of_roles([role])):
            raise NotYours(f"the role {role} gives more than you have yourself")


def _names(permissions: QuerySet[Permission]) -> frozenset[str]:
    pairs = permissions.values_list("content_type__app_label", "codename")
    return frozenset(f"{label}.{codename}" for label, codename in pairs)
