"""What ends sessions without a log-out: another password, a deactivated account. By whatever code, the
admin's and `manage.py changepassword` among them."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import HASH_SESSION_KEY, get_user_model
from django.contrib.auth.models import User
from django.db.models.signals import post_save

from gdsconsole.people.models import Session
from gdsconsole.people.sessions import SessionStore, end


def connect() -> None:
    post_save.connect(_account_changed, sender=get_user_model(), dispatch_uid="people-end-sessions")


def _account_changed(
    *, instance: User, created: bool, update_fields: frozenset[str] | None = None, **_: Any
) -> None:
    # Each log-in writes this field.
    if not created and update_fields != frozenset({"last_login"}):
        sessions = Session.objects.filter(user=instance)
        end(sessions.filter(pk__in=[one.pk for one in sessions if not is_valid(one, instance)]))


def is_valid(session: Session, user: User) -> bool:
    """Whether Django still takes this session for the user's: it remembers the password it was made with."""
    known = SessionStore().decode(session.data).get(HASH_SESSION_KEY)
    return user.is_active and known == user.get_session_auth_hash()
