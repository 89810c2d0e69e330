"""Accounts and roles are edited in the admin alone; what is done to them there is recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db import models, transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from gdsconsole.audit.models import ACCESS
from gdsconsole.audit.services import Changes, record

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
        super().delete_model(request, obj)
        self._record(request, "deleted", obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for account in queryset:
            self.delete_model(request, account)

    def _record(
        self, request: HttpRequest, did: str, account: models.Model, changes: Changes | None = None
    ) -> None:
        with transaction.atomic():
            record(
                actor=request.user.get_username(),
                action=f"{ACCESS}.account",
                sentence=f"{did} {NOUNS[type(account)]} {account}",
                now=timezone.now(),
                target=str(account),
                changes=changes,
            )


def _text(value: Any) -> Any:
    """A field's value as the log keeps it; of many rows their names."""
    if isinstance(value, models.QuerySet | list | tuple):
        return ", ".join(sorted(map(str, value)))
    return value


class RecordedUserAdmin(Recorded, UserBase):
    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        with transaction.atomic():
            return super().user_change_password(request, id, form_url)


class RecordedGroupAdmin(Recorded, GroupAdmin):
    pass


for model, its_admin in ((User, RecordedUserAdmin), (Group, RecordedGroupAdmin)):
    admin.site.unregister(model)
    admin.site.register(model, its_admin)
