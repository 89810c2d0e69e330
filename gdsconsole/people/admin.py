"""Accounts and roles in Django's admin, for superusers alone; what is done to them there is recorded.

Django lets whoever may change users make themselves a superuser. The console's own pages (`/people/`) are for
those who manage people, and give nobody more than they have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.contrib.messages.storage import default_storage
from django.db import models, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from gdsconsole.audit.services import Changes, record
from gdsconsole.people.services import ACCOUNT, LastAdmin, keeping_an_admin, url_of
from gdsconsole.people.sessions import SessionStore

if TYPE_CHECKING:
    from django.db.models import QuerySet

    Base = admin.ModelAdmin[Any]
    UserBase = UserAdmin[User]
else:
    Base = object
    UserBase = UserAdmin

NOUNS: dict[type[models.Model], str] = {User: "user", Group: "role"}


class Recorded(Base):
    """Mixin for an admin of accounts."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self._is_superuser(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_superuser(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self._is_superuser(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_superuser(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_superuser(request)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return self._keeping_an_admin(request, super().changeform_view, *args, **kwargs)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return self._keeping_an_admin(request, super().delete_view, *args, **kwargs)

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return self._keeping_an_admin(request, super().changelist_view, *args, **kwargs)

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> list[dict[str, dict[str, Any]]]:
        """The admin's last step of a change, in its transaction and with all that is related saved."""
        # The form that sets a password is about a user, and isn't a model's.
        account: models.Model = form.instance if hasattr(form, "instance") else form.user
        changes = {
            name: (_text(form.initial.get(name)), _text(form.cleaned_data.get(name)))
            for name in form.changed_data
            if "password" not in name
        }
        if add:
            self._record(request, "added", account, changes)
        elif changes:
            self._record(request, "changed", account, changes)
        elif form.changed_data:
            self._record(request, "set the password of", account)
        message: list[dict[str, dict[str, Any]]] = super().construct_change_message(
            request, form, formsets, add
        )
        return message

    def delete_model(self, request: HttpRequest, obj: models.Model) -> None:
        self._record(request, "deleted", obj)
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for account in queryset:
            self.delete_model(request, account)

    def _is_superuser(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    def _keeping_an_admin(
        self, request: HttpRequest, view: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Any:
        if request.method != "POST":
            return view(request, *args, **kwargs)
        try:
            with transaction.atomic(), keeping_an_admin():
                return view(request, *args, **kwargs)
        except LastAdmin as error:
            # What the admin was about to say of it isn't so, nor what it did to the own session.
            request.session = SessionStore(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
            request._messages = default_storage(request)  # type: ignore[attr-defined]
            messages.error(request, str(error))
            return redirect(request.get_full_path())

    def _record(
        self, request: HttpRequest, did: str, account: models.Model, changes: Changes | None = None
    ) -> None:
        with transaction.atomic():
            record(
                actor=request.user.get_username(),
                action=ACCOUNT,
                sentence=f"{did} {NOUNS[type(account)]} {account}",
                now=timezone.now(),
                target=str(account),
                target_url=url_of(account) if isinstance(account, User) and did != "deleted" else "",
                changes=changes,
            )


def _text(value: Any) -> Any:
    """A field's value as the log keeps it; of many rows their names."""
    if isinstance(value, models.QuerySet | list | tuple):
        return ", ".join(sorted(map(str, value)))
    return value


class RecordedUserAdmin(Recorded, UserBase):
    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        def view(request: HttpRequest) -> HttpResponse:
            return super(RecordedUserAdmin, self).user_change_password(request, id, form_url)

        # A password may be taken away here, the last admin's too.
        answer: HttpResponse = self._keeping_an_admin(request, view)
        return answer


class RecordedGroupAdmin(Recorded, GroupAdmin):
    pass


for model, its_admin in ((User, RecordedUserAdmin), (Group, RecordedGroupAdmin)):
    admin.site.unregister(model)
    admin.site.register(model, its_admin)
