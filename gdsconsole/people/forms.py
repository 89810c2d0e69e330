"""What is typed on the pages of people and of one's own account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.auth.forms import SetPasswordForm
from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from gdsconsole.people import lockout
from gdsconsole.people.lockout_rules import Locked
from gdsconsole.people.signing_in import is_own_password, locked_message

if TYPE_CHECKING:
    PasswordBase = SetPasswordForm[User]
else:
    PasswordBase = SetPasswordForm

PASSWORD_HELP = "At least 8 characters; no common password, not only digits, not like the user name."  # noqa: S105


class AccountForm(forms.Form):
    """Roles and address of an account. `superuser` is for superusers to give."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})

    email = forms.EmailField(label="E-mail", required=False, max_length=254)
    roles = forms.ModelMultipleChoiceField(
        queryset=Group.objects.order_by("pk"), required=False, widget=forms.CheckboxSelectMultiple
    )
    superuser = forms.BooleanField(required=False)

    @property
    def problems(self) -> list[str]:
        """Each as field and reason."""
        return [f"{name}: {error}" for name, errors in self.errors.items() for error in errors]


class NewUserForm(AccountForm):
    username = forms.CharField(label="Username", max_length=150)

    field_order = ("username", "email", "roles", "superuser")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].validators += User._meta.get_field("username").validators
        self.fields["username"].widget.attrs |= {"autocomplete": "off", "autocapitalize": "none"}


class ReasonForm(forms.Form):
    reason = forms.CharField(max_length=500)


class NewPasswordForm(PasswordBase):
    """A new password, twice."""

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(user, *args, label_suffix="", **kwargs)
        self.fields["new_password1"].help_text = PASSWORD_HELP
        self.fields["new_password2"].label = "The same again"
        self.fields["new_password2"].help_text = ""


class OwnPasswordForm(NewPasswordForm):
    """Asks for the old one, and lets nobody guess it: a session that was left open is not the password."""

    old_password = forms.CharField(
        label="Password now",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )
    field_order = ("old_password", "new_password1", "new_password2")

    def __init__(self, user: User, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(user, *args, **kwargs)
        self.request = request

    def clean_old_password(self) -> str:
        password: str = self.cleaned_data["old_password"]
        if not is_own_password(self.request, self.user, password):
            decided = lockout.noted(self.request)
            raise ValidationError(
                locked_message(decided) if isinstance(decided, Locked) else "This is not your password now."
            )
        return password
