"""What is done to accounts, each in one transaction with its audit entry. Pages, the admin and commands
call these; nothing else writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.contrib.auth.models import Group, User
from django.db import transaction
from django.urls import reverse

from gdsconsole.access import ADMIN
from gdsconsole.audit.models import ACCESS
from gdsconsole.audit.services import Changes, changes_between, record
from gdsconsole.people import lockout, sessions
from gdsconsole.people.models import Session
from gdsconsole.people.powers import (
    Actor,
    NotYours,
    Powers,
    admins,
    powers_of_roles,
    require_over,
    require_to_give,
)

ACCOUNT = f"{ACCESS}.account"
PASSWORD = f"{ACCESS}.password"
SESSION = f"{ACCESS}.session"


class UnknownUser(LookupError):
    """There is no account of this number or name."""


class NameTaken(ValueError):
    """There is an account of this name, in whatever case."""


class LastAdmin(ValueError):
    """Nobody would be left who may manage people and can sign in."""


@transaction.atomic
def create_user(
    *,
    actor: Actor,
    username: str,
    now: datetime,
    email: str = "",
    roles: Sequence[Group] = (),
    superuser: bool = False,
    password: str | None = None,
) -> User:
    """An account, without a password unless one is given: its user sets it by a link.

    Raises NameTaken, NotYours.
    """
    if User.objects.filter(username__iexact=username).exists():
        raise NameTaken(f"username: there is an account {username!r} already")
    require_to_give(actor, roles)
    _require_superuser(actor, superuser)
    user = User(
        username=User.normalize_username(username),
        email=email,
        is_superuser=superuser,
        is_staff=superuser or powers_of_roles(roles).staff,
    )
    user.set_password(password)
    user.save()
    user.groups.set(roles)
    changes = {"roles": (None, _names(roles)), "email": (None, email)}
    _record(actor, "added superuser" if superuser else "added user", user, now=now, changes=_said(changes))
    return user


@transaction.atomic
def change_user(
    *, actor: Actor, user_id: int, roles: Sequence[Group], email: str, superuser: bool, now: datetime
) -> User:
    """Give and take roles. Raises UnknownUser, NotYours, LastAdmin."""
    user = _account(actor, user_id)
    before = {**_state(user), "roles": _names(user.groups.all())}
    held = set(user.groups.all())
    require_to_give(actor, [role for role in roles if role not in held])
    if superuser != user.is_superuser:
        _require_superuser(actor, True)
    # Staff is what the admin role and being a superuser bring; who had it otherwise keeps it.
    was_staff_by_role = user.is_superuser or any(role.name == ADMIN for role in held)
    by_role = superuser or powers_of_roles(roles).staff
    with keeping_an_admin():
        user.is_superuser = superuser
        user.is_staff = by_role or (user.is_staff and not was_staff_by_role)
        user.email = email
        user.save()
        user.groups.set(roles)
    changed = changes_between(before, {**_state(user), "roles": _names(roles)})
    if changed:
        _record(actor, "changed user", user, now=now, changes=changed)
    return user


@transaction.atomic
def deactivate(*, actor: Actor, user_id: int, reason: str, now: datetime) -> User:
    """The account signs in no more and is signed out everywhere; what it did stays. Raises UnknownUser,
    NotYours, LastAdmin."""
    user = _account(actor, user_id)
    if user.pk == actor.user_id:
        raise NotYours("nobody deactivates their own account: ask another admin")
    if user.is_active:
        with keeping_an_admin():
            user.is_active = False
            user.save(update_fields=["is_active"])
        _record(actor, "deactivated user", user, now=now, reason=reason)
    return user


@transaction.atomic
def reactivate(*, actor: Actor, user_id: int, now: datetime) -> User:
    """Raises UnknownUser, NotYours."""
    user = _account(actor, user_id)
    if not user.is_active:
        user.is_active = True
        user.save(update_fields=["is_active"])
        _record(actor, "reactivated user", user, now=now)
    return user


@transaction.atomic
def sign_out_everywhere(*, actor: Actor, user_id: int, now: datetime) -> int:
    """End every session of somebody else; how many. Raises UnknownUser, NotYours."""
    user = _account(actor, user_id)
    ended = sessions.end(Session.objects.filter(user=user))
    _record(actor, f"ended {_counted(ended, 'session')} of user", user, now=now, action=SESSION)
    return ended


@transaction.atomic
def unlock(*, actor: Actor, user_id: int, now: datetime) -> User:
    """Forget the wrong passwords that lock the account out. Raises UnknownUser, NotYours."""
    user = _account(actor, user_id)
    lockout.unlock(name=user.get_username())
    _record(actor, "unlocked user", user, now=now)
    return user


@transaction.atomic
def set_password(*, actor: Actor, user_id: int, password: str, now: datetime) -> User:
    """Somebody else's, which ends their sessions. Raises UnknownUser, NotYours."""
    user = _account(actor, user_id)
    user.set_password(password)
    user.save(update_fields=["password"])
    _record(actor, "set the password of user", user, now=now, action=PASSWORD)
    return user


@transaction.atomic
def change_own_password(*, user: User, password: str, now: datetime) -> None:
    """The other sessions end. The caller has asked for the old password, and keeps its own session."""
    user.set_password(password)
    user.save(update_fields=["password"])
    record(
        actor=user.get_username(),
        action=PASSWORD,
        sentence="changed their own password",
        now=now,
        target_url=url_of(user),
    )


@transaction.atomic
def end_own_sessions(*, user: User, ids: Iterable[int], now: datetime, everywhere: bool = False) -> int:
    """End these sessions of one's own; how many there were."""
    ended = sessions.end(Session.objects.filter(user=user, pk__in=list(ids)))
    if ended:
        record(
            actor=user.get_username(),
            action=SESSION,
            sentence="signed out everywhere" if everywhere else f"ended {_counted(ended, 'own session')}",
            now=now,
        )
    return ended


def url_of(user: User) -> str:
    return reverse("people:person", args=[user.pk])


@contextmanager
def keeping_an_admin() -> Iterator[None]:
    """Raises LastAdmin where nobody is left after what happens inside; inside a transaction. A console that
    had no admin before stays as it is.

    It holds all of them, so that two admins don't deactivate each other at the same time.
    """
    before = [user.get_username() for user in admins().select_for_update()]
    yield
    if before and not admins().exists():
        raise LastAdmin(
            f"{' and '.join(before)} would be the last who may manage people and can sign in: "
            "make somebody else an admin first"
        )


def _account(actor: Actor, user_id: int) -> User:
    user = User.objects.select_for_update().filter(pk=user_id).first()
    if user is None:
        raise UnknownUser(f"there is no user number {user_id}")
    require_over(actor, user)
    return user


def _require_superuser(actor: Actor, wanted: bool) -> None:
    if wanted and not actor.powers.covers(Powers(frozenset(), superuser=True)):
        raise NotYours("only a superuser makes somebody one, or takes it back")


def _state(user: User) -> dict[str, Any]:
    return {"email": user.email, "superuser": user.is_superuser, "staff": user.is_staff}


def _names(roles: Iterable[Group]) -> str:
    return ", ".join(sorted(role.name for role in roles))


def _said(changes: Changes) -> Changes:
    return {name: pair for name, pair in changes.items() if any(pair)}


def _counted(number: int, noun: str) -> str:
    return f"one {noun}" if number == 1 else f"{number} {noun}s"


def _record(
    actor: Actor,
    did: str,
    user: User,
    *,
    now: datetime,
    action: str = ACCOUNT,
    reason: str = "",
    changes: Changes | None = None,
) -> None:
    record(
        actor=actor.name,
        action=action,
        sentence=f"{did} {user.get_username()}",
        target=user.get_username(),
        target_url=url_of(user),
        reason=reason,
        changes=changes,
        now=now,
    )
