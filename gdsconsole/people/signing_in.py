"""The ways in: the one backend, and the form that says why it doesn't let somebody in."""

from __future__ import annotations

import math
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest
from django.utils import timezone

from gdsconsole.people import lockout
from gdsconsole.people.lockout_rules import Locked
from gdsconsole.text import formats
from gdsconsole.web.client_address import client_address


class GuardedBackend(ModelBackend):
    """Passwords, each looked at only where the account and the address may try one now.

    Every form and scheme asks here, so there is no way around the count. Hashing is what makes a guess cost
    the server more than the guesser; a locked attempt gets none.
    """

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> Any:
        name = username if username is not None else kwargs.get(get_user_model().USERNAME_FIELD)
        if name is None or password is None:
            return None
        address = client_address(request)
        decided = lockout.begin(name=name, address=address, now=timezone.now())
        lockout.note(request, decided)
        if isinstance(decided, Locked):
            raise PermissionDenied("no password is looked at now")
        user = super().authenticate(request, username=name, password=password)
        if user is not None:
            lockout.succeed(name=name, address=address, now=timezone.now())
        return user

    async def aauthenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Django's own would hash without asking."""
        return await sync_to_async(self.authenticate)(request, username, password, **kwargs)


def is_own_password(request: HttpRequest, user: User, password: str) -> bool:
    """Whether it is the password of who is signed in, counted and bounded like a sign-in."""
    name, address = user.get_username(), client_address(request)
    decided = lockout.begin(name=name, address=address, now=timezone.now())
    lockout.note(request, decided)
    if isinstance(decided, Locked) or not user.check_password(password):
        return False
    lockout.succeed(name=name, address=address, now=timezone.now())
    return True


def locked_message(locked: Locked) -> str:
    wait = formats.duration(seconds_left(locked))
    return f"Too many wrong passwords {locked.what}. Try again in {wait}; until then none is looked at."


def seconds_left(locked: Locked) -> int:
    return max(1, math.ceil((locked.until - timezone.now()).total_seconds()))


class SignInForm(AuthenticationForm):
    def get_invalid_login_error(self) -> ValidationError:
        decided = lockout.noted(self.request) if self.request is not None else None
        if isinstance(decided, Locked):
            return ValidationError(locked_message(decided), code="locked")
        return ValidationError("The user name or the password is wrong.", code="invalid_login")
