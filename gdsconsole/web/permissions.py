"""Views for those who have a permission, and a refusal that knows which one was lacking."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponseBase

View = TypeVar("View", bound=Callable[..., HttpResponseBase])


class PermissionLacking(PermissionDenied):
    """`permission` is what the user does not have, as `app_label.codename`."""

    def __init__(self, permission: str) -> None:
        super().__init__(permission)
        self.permission = permission


def permission_required(permission: str) -> Callable[[View], View]:
    """A view for users with this permission; raises `PermissionLacking` for all others."""

    def decorate(view: View) -> View:
        @wraps(view)
        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not request.user.has_perm(permission):
                raise PermissionLacking(permission)
            return view(request, *args, **kwargs)

        return cast(View, checked)

    return decorate
