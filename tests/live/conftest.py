"""Users with and without permissions, and their session cookies."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client


@pytest.fixture
def make_user(django_user_model: type[User], db: None) -> Any:
    def make(name: str, *permissions: str) -> User:
        user = django_user_model.objects.create_user(name, password="correct horse battery")
        for permission in permissions:
            label, codename = permission.split(".")
            user.user_permissions.add(
                Permission.objects.get(content_type__app_label=label, codename=codename)
            )
        return user

    return make


@pytest.fixture
def session_key_of(settings: Any) -> Any:
    """The value of a fresh login's session cookie."""

    def log_in(user: User) -> str:
        client = Client()
        client.force_login(user)
        return client.cookies[settings.SESSION_COOKIE_NAME].value

    return log_in
