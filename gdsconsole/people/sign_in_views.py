"""Signing in and out."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import views as auth
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.decorators import method_decorator

from gdsconsole.people import lockout
from gdsconsole.people.lockout_rules import Locked
from gdsconsole.people.signing_in import SignInForm, seconds_left


class SignIn(auth.LoginView):
    """For everybody, and for the admin's pages: there is one way in."""

    redirect_authenticated_user = True
    authentication_form = SignInForm

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        response = super().form_invalid(form)
        decided = lockout.noted(self.request)
        if isinstance(decided, Locked):
            response.status_code = 429
            response["Retry-After"] = str(seconds_left(decided))
        return response


@method_decorator(login_not_required, name="dispatch")
class AdminSignIn(SignIn):
    """Where Django's admin sends who is not staff: to sign in, or to be told that they may not."""

    redirect_authenticated_user = False

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_authenticated:
            if not request.user.is_staff:
                raise PermissionDenied("not staff")
            # Not by redirect(), which would look for a view of that name.
            return HttpResponseRedirect(self.get_redirect_url() or reverse("admin:index"))
        return super().dispatch(request, *args, **kwargs)


class SignOut(auth.LogoutView):
    """The session's row and the audit entry go together."""

    @method_decorator(transaction.atomic)
    def post(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        return super().post(request, *args, **kwargs)
