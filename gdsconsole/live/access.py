"""Says at once when somebody's access changed, so that open sockets don't wait for their next check."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser, Group
from django.db.models.signals import m2m_changed, post_delete, post_save

from gdsconsole.live.events import ACCESS_CHANGED
from gdsconsole.live.publish import publish_on_commit


def connect() -> None:
    """Listen to changes of users, groups and permissions. Who ends a session publishes it there."""
    user = get_user_model()
    for signal in (post_save, post_delete):
        signal.connect(_user_changed, sender=user, dispatch_uid=f"live-user-{id(signal)}")
    for through in (user.groups.through, user.user_permissions.through, Group.permissions.through):
        m2m_changed.connect(_memberships_changed, sender=through, dispatch_uid=f"live-{through.__name__}")


def _user_changed(
    *, instance: AbstractBaseUser, update_fields: frozenset[str] | None = None, **_: Any
) -> None:
    # Each log-in writes this field, and it says nothing about access.
    if update_fields != frozenset({"last_login"}):
        publish_on_commit(ACCESS_CHANGED, str(instance.pk), {})


def _memberships_changed(*, action: str, **_: Any) -> None:
    if action.startswith("post_"):
        publish_on_commit(ACCESS_CHANGED, "*", {})
