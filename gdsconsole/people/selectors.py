"""Accounts and sessions as pages show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import django_filters
from django.contrib.auth.models import Group, User
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet

from gdsconsole.access import DESCRIPTIONS
from gdsconsole.people import lockout
from gdsconsole.people.devices import device_of
from gdsconsole.people.ending import is_valid
from gdsconsole.people.lifetime import is_over
from gdsconsole.people.models import Attempts, Session
from gdsconsole.people.powers import NO_PASSWORD, Powers, powers_of_roles
from gdsconsole.people.sessions import digest_of, limits
from gdsconsole.web.filters import Problems

ACTIVE, DEACTIVATED, INVITED, LOCKED = "active", "deactivated", "invited", "locked"
STATES = [
    (ACTIVE, "Active"),
    (INVITED, "Without a password"),
    (LOCKED, "Locked"),
    (DEACTIVATED, "Deactivated"),
]


@dataclass(frozen=True, slots=True)
class Role:
    """`looks` are permissions to look, `permissions` all others, in words. `may_give` is whether who asks
    has as much as the role gives."""

    group: Group
    description: str
    looks: tuple[str, ...]
    permissions: tuple[str, ...]
    members: int
    may_give: bool


@dataclass(frozen=True, slots=True)
class SessionRow:
    session: Session
    device: str
    is_current: bool


class PeopleFilter(Problems, django_filters.FilterSet):  # type: ignore[misc]  # untyped library
    state = django_filters.ChoiceFilter(choices=STATES, method="by_state")
    role = django_filters.CharFilter(method="by_role")
    q = django_filters.CharFilter(method="by_text")
    sort = django_filters.OrderingFilter(fields={"username": "name", "last_login": "last_sign_in"})

    class Meta:
        model = User
        fields: list[str] = []

    def by_state(self, people: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        wanted = {
            ACTIVE: Q(is_active=True),
            DEACTIVATED: Q(is_active=False),
            INVITED: NO_PASSWORD & Q(is_active=True),
            LOCKED: Q(is_locked=True),
        }
        return people.filter(wanted[value])

    def by_role(self, people: QuerySet[User], name: str, value: str) -> QuerySet[User]:
        return people.filter(is_superuser=True) if value == "superuser" else people.filter(groups__name=value)

    def by_text(self, people: QuerySet[User], name: str, value: str) -> QuerySet[User]:
        return people.filter(
            Q(username__icontains=value)
            | Q(email__icontains=value)
            | Q(first_name__icontains=value)
            | Q(last_name__icontains=value)
        )


def people(*, now: datetime) -> QuerySet[Any]:
    """Every account with `open_sessions`, and whether it `is_locked` from somewhere."""
    bounds = limits()
    is_open = Q(
        console_sessions__created_at__gt=now - bounds.most, console_sessions__seen_at__gt=now - bounds.idle
    )
    locks = Attempts.objects.filter(user=OuterRef("pk"), scope=Attempts.Scope.PAIR, locked_until__gt=now)
    return (
        User.objects.annotate(
            open_sessions=Count("console_sessions", filter=is_open, distinct=True), is_locked=Exists(locks)
        )
        .prefetch_related("groups")
        .order_by("-is_active", F("last_login").desc(nulls_last=True), "username")
    )


def state_of(user: Any) -> str:
    """Of an account from `people`, in one word."""
    if not user.is_active:
        return DEACTIVATED
    if user.is_locked:
        return LOCKED
    return ACTIVE if user.has_usable_password() else INVITED


def headline(everybody: Sequence[Any]) -> str:
    """The page's answer in a sentence."""
    states = [state_of(user) for user in everybody]
    able = sum(state in (ACTIVE, LOCKED) for state in states)
    here = sum(1 for user in everybody if user.is_active and user.open_sessions)
    told = [f"{_people(able)} can sign in, {here} {'is' if here == 1 else 'are'} signed in now"]
    if locked := states.count(LOCKED):
        told.append(f"{locked} {'is' if locked == 1 else 'are'} locked out by wrong passwords")
    if invited := states.count(INVITED):
        told.append(f"{invited} {'has' if invited == 1 else 'have'} no password yet")
    return f"{'; '.join(told)}."


def roles(*, giver: Powers) -> list[Role]:
    """Every role there is, those of the console first."""
    found = Group.objects.annotate(members=Count("user", filter=Q(user__is_active=True))).prefetch_related(
        "permissions"
    )
    made = [
        Role(
            group=group,
            description=DESCRIPTIONS.get(group.name, "A role of this console's own"),
            looks=_in_words(group, looking=True),
            permissions=_in_words(group, looking=False),
            members=group.members,
            may_give=giver.covers(powers_of_roles([group])),
        )
        for group in found
    ]
    order = list(DESCRIPTIONS)
    return sorted(
        made,
        key=lambda role: (
            order.index(role.group.name) if role.group.name in order else len(order),
            role.group.name,
        ),
    )


def sessions_of(user: User, *, current_key: str | None, now: datetime) -> list[SessionRow]:
    """The account's open sessions: the one that asks first, then the newest in use."""
    bounds, current = limits(), digest_of(current_key) if current_key else ""
    rows = [
        SessionRow(
            session=one,
            device=device_of(one.user_agent),
            is_current=one.digest == current,
        )
        for one in Session.objects.filter(user=user).order_by("-seen_at")
        if is_valid(one, user) and not is_over(one.created_at, one.seen_at, limits=bounds, now=now)
    ]
    return sorted(rows, key=lambda row: not row.is_current)


def locks(user: User, *, now: datetime) -> list[Attempts]:
    return lockout.locks_of(user, now=now)


def _in_words(group: Group, *, looking: bool) -> tuple[str, ...]:
    chosen = [one for one in group.permissions.all() if one.codename.startswith("view_") is looking]
    names = (one.name.removeprefix("Can ").removeprefix("view ").capitalize() for one in chosen)
    return tuple(sorted(names))


def _people(number: int) -> str:
    return "one person" if number == 1 else f"{number:,} people"
