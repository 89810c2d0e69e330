"""Sign-ins, failed ones and sign-outs, from Django's own signals: every form and scheme sends them."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone

from gdsconsole.audit.actors import NOBODY
from gdsconsole.audit.attempts import Kin, record_refusal
from gdsconsole.audit.services import record
from gdsconsole.people import lockout
from gdsconsole.web.client_address import client_address

SIGN_IN, SIGN_IN_FAILED, SIGN_OUT = "access.sign-in", "access.sign-in-failed", "access.sign-out"


def connect() -> None:
    user_logged_in.connect(_signed_in, dispatch_uid="people-signed-in")
    user_logged_out.connect(_signed_out, dispatch_uid="people-signed-out")
    user_login_failed.connect(_failed, dispatch_uid="people-sign-in-failed")


def _signed_in(*, request: HttpRequest, user: AbstractBaseUser, **_: Any) -> None:
    with transaction.atomic():
        record(
            actor=user.get_username(),
            action=SIGN_IN,
            sentence=f"signed in{_from(request)}",
            now=timezone.now(),
        )


def _signed_out(*, request: HttpRequest, user: AbstractBaseUser | None, **_: Any) -> None:
    if user is None:
        return
    with transaction.atomic():
        record(
            actor=user.get_username(),
            action=SIGN_OUT,
            sentence="signed out",
            now=timezone.now(),
        )


def _failed(*, credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    if request is None:
        return
    # Only the name of an account: people type passwords into the wrong field, and this is kept for good.
    model = get_user_model()
    typed = str(credentials.get(model.USERNAME_FIELD) or "")[:255]
    known = "\0" not in typed and model._default_manager.filter(**{model.USERNAME_FIELD: typed}).exists()
    name, target = (typed, typed) if known else ("an unknown user", "")
    record_refusal(
        actor=NOBODY,
        action=SIGN_IN_FAILED,
        sentence=f"could not sign in as {name}{_from(request)}",
        now=timezone.now(),
        target=target,
        reason=lockout.reason_of(request),
        kin=Kin(target, Q(action=SIGN_IN_FAILED, target=target), f"could not sign in as {name}"),
    )


def _from(request: HttpRequest) -> str:
    address = client_address(request)
    return f" from {address}" if address else ""
