"""One's own account: where am I signed in? And the page of a link, which sets a password."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import messages
from django.contrib.auth import logout, update_session_auth_hash
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from gdsconsole.people import links, selectors, services
from gdsconsole.people.forms import NewPasswordForm, OwnPasswordForm
from gdsconsole.people.powers import powers_of
from gdsconsole.people.sessions import limits


@require_safe
def account(request: HttpRequest) -> HttpResponse:
    return _page(request, OwnPasswordForm(_user(request), request=request))


@sensitive_post_parameters()
@require_POST
def change_password(request: HttpRequest) -> HttpResponse:
    """This session goes on, every other one ends."""
    user = _user(request)
    form = OwnPasswordForm(user, request.POST, request=request)
    if not form.is_valid():
        return _page(request, form)
    services.change_own_password(user=user, password=form.cleaned_data["new_password1"], now=timezone.now())
    update_session_auth_hash(request, user)
    messages.success(request, "Your password is another one now. Your other sessions have ended.")
    return redirect("people:account")


@require_POST
def end_session(request: HttpRequest, pk: int) -> HttpResponse:
    user = _user(request)
    if services.end_own_sessions(user=user, ids=[pk], now=timezone.now()):
        messages.success(request, "That session has ended.")
    else:
        messages.info(request, "That session had ended already.")
    return redirect("people:account")


@require_POST
def end_others(request: HttpRequest) -> HttpResponse:
    user, now = _user(request), timezone.now()
    rows = selectors.sessions_of(user, current_key=request.session.session_key, now=now)
    ended = services.end_own_sessions(
        user=user, ids=[row.session.pk for row in rows if not row.is_current], now=now
    )
    messages.success(request, f"{ended} other session{'' if ended == 1 else 's'} ended. This one goes on.")
    return redirect("people:account")


@require_POST
def end_all(request: HttpRequest) -> HttpResponse:
    """Log out everywhere, here too."""
    user, now = _user(request), timezone.now()
    services.end_own_sessions(
        user=user, ids=user.console_sessions.values_list("pk", flat=True), now=now, everywhere=True
    )
    logout(request)
    return redirect("login")


@sensitive_post_parameters()
@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
def set_password(request: HttpRequest, uid: str, token: str) -> HttpResponse:
    """For who has a link. It is looked at without being used up: mail programs open links too."""
    try:
        user = links.account_of(uid, token)
        form = NewPasswordForm(user, request.POST or None)
        if request.method == "POST" and form.is_valid():
            links.use_link(
                uid=uid, token=token, password=form.cleaned_data["new_password1"], now=timezone.now()
            )
            messages.success(request, "Your password is set. Log in with it.")
            return redirect("login")
    except links.LinkOver:
        return render(request, "account/link_over.html", status=410)
    context = {"form": form, "person": user}
    return render(request, "account/set_password.html", context, status=400 if form.errors else 200)


def _page(request: HttpRequest, form: OwnPasswordForm) -> HttpResponse:
    user = _user(request)
    rows = selectors.sessions_of(user, current_key=request.session.session_key, now=timezone.now())
    held = set(user.groups.values_list("pk", flat=True))
    context: dict[str, Any] = {
        "form": form,
        "sessions": rows,
        "others": sum(not row.is_current for row in rows),
        "roles": [role for role in selectors.roles(giver=powers_of(user)) if role.group.pk in held],
        "idle_s": limits().idle.total_seconds(),
        "most_s": limits().most.total_seconds(),
    }
    return render(request, "account/page.html", context, status=400 if form.errors else 200)


def _user(request: HttpRequest) -> User:
    return cast(User, request.user)
