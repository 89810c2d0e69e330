"""The page for somebody who may not: what is lacking, which roles have it, and who can give one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib.auth.models import Permission, User
from django.db import DatabaseError
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from gdsconsole.access import ADMIN, roles_with
from gdsconsole.web.permissions import PermissionLacking

NAMED = 5


@dataclass(frozen=True, slots=True)
class Way:
    """How to get what is lacking: the permission in words, the roles that have it, who gives roles."""

    lacking: str = ""
    roles: Sequence[str] = ()
    givers: Sequence[str] = ()
    more_givers: int = 0


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler403."""
    permission = exception.permission if isinstance(exception, PermissionLacking) else ""
    return render(request, "403.html", {"way": way_to(permission)}, status=403)


def way_to(permission: str = "") -> Way:
    """Who can help somebody without this permission, or without any; less is said where it can't be read."""
    try:
        app_label, _, codename = permission.partition(".")
        named = Permission.objects.filter(content_type__app_label=app_label, codename=codename)
        lacking = named.values_list("name", flat=True).first() or ""
        may = Q(groups__name=ADMIN) | Q(is_superuser=True)
        names = list(
            User.objects.filter(may, is_active=True)
            .distinct()
            .order_by("username")
            .values_list("username", flat=True)
        )
        roles = roles_with(permission) if permission else ()
    except DatabaseError:
        return Way()
    lacking = lacking.removeprefix("Can ")
    return Way(lacking, roles, names[:NAMED], max(0, len(names) - NAMED))
