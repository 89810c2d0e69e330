"""Links by which somebody sets their password: signed, for a day, for one use."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.core.mail import send_mail
from django.db import transaction
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_decode, urlsafe_base64_encode

from gdsconsole.audit.services import record
from gdsconsole.people.powers import Actor, powers_of, require_over
from gdsconsole.people.services import PASSWORD, UnknownUser, url_of


class LinkOver(ValueError):
    """The link was used, is too old, was taken back by a change of the account, or is not one of ours."""


class _Tokens(PasswordResetTokenGenerator):
    """Django's: over the password and the last sign-in, so that either ends it. And over what the account
    may: a link that was made for a viewer is no way into the superuser they became."""

    key_salt = "gdsconsole.people.links"

    def _make_hash_value(self, user: User, timestamp: int) -> str:
        powers = powers_of(user)
        may = f"{user.is_active}{powers.staff}{powers.superuser}{sorted(powers.permissions)}"
        return f"{super()._make_hash_value(user, timestamp)}{may}"


_tokens = _Tokens()


@transaction.atomic
def make_link(*, actor: Actor, user_id: int, now: datetime) -> str:
    """The path of a link for this account. Nobody can read it again later. Raises UnknownUser, NotYours."""
    user = User.objects.filter(pk=user_id).first()
    if user is None:
        raise UnknownUser(f"there is no user number {user_id}")
    require_over(actor, user)
    name = user.get_username()
    record(
        actor=actor.name,
        action=PASSWORD,
        sentence=f"made a link to set the password of user {name}",
        target=name,
        target_url=url_of(user),
        now=now,
    )
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    return reverse("people:set-password", args=[uid, _tokens.make_token(user)])


def valid_for() -> timedelta:
    return timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT)


def account_of(uid: str, token: str) -> User:
    """Whose password the link sets. Raises LinkOver."""
    try:
        user = User.objects.filter(pk=int(urlsafe_base64_decode(uid))).first()
    except (ValueError, OverflowError):
        user = None
    if user is None or not user.is_active or not _tokens.check_token(user, token):
        raise LinkOver("this link was used, is too old, or was replaced")
    return user


@transaction.atomic
def use_link(*, uid: str, token: str, password: str, now: datetime) -> User:
    """Set the password; the link is over then, and so is every session. Raises LinkOver."""
    found = account_of(uid, token)
    user = User.objects.select_for_update().get(pk=found.pk)
    # Again, now that nobody else can be using it.
    if not _tokens.check_token(user, token):
        raise LinkOver("this link was used, is too old, or was replaced")
    user.set_password(password)
    user.save(update_fields=["password"])
    record(
        actor=user.get_username(),
        action=PASSWORD,
        sentence="set their own password by a link",
        target_url=url_of(user),
        now=now,
    )
    return user


def can_mail(user: User) -> bool:
    return bool(settings.GDS_MAILS and user.email)


def mail_link(*, user: User, link: str) -> None:
    """Raises OSError (smtplib's errors among them) where the mail server doesn't take it."""
    hours = int(valid_for().total_seconds() // 3_600)
    send_mail(
        "Set your password for GDS Console",
        f"Somebody who manages the console made this link for {user.get_username()}:\n\n{link}\n\n"
        f"It sets your password, once, within {hours} hours. If you don't expect it, do nothing.\n",
        None,
        [user.email],
    )
