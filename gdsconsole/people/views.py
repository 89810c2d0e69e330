"""People: who may do what?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from gdsconsole.audit.models import READ_ACCESS, AuditEntry
from gdsconsole.people import links, selectors, services
from gdsconsole.people.forms import AccountForm, NewUserForm, ReasonForm
from gdsconsole.people.models import MANAGE
from gdsconsole.people.powers import Actor, NotYours, actor_of, powers_of
from gdsconsole.people.selectors import PeopleFilter
from gdsconsole.web.filters import status_of
from gdsconsole.web.permissions import permission_required

PAGE_ROWS = 50
ACTS_SHOWN = 8
_form_methods = require_http_methods(["GET", "HEAD", "POST"])

may_manage = permission_required(MANAGE)


@require_safe
@may_manage
def people(request: HttpRequest) -> HttpResponse:
    everybody = selectors.people(now=timezone.now())
    wanted = PeopleFilter(request.GET, queryset=everybody)
    context: dict[str, Any] = {
        "problems": wanted.problems,
        "headline": selectors.headline(list(everybody)),
        "states": selectors.STATES,
        "roles": [*[role.group.name for role in selectors.roles(giver=_actor(request).powers)], "superuser"],
        "is_narrowed": any(value for name, value in request.GET.items() if name in wanted.filters),
    }
    if not wanted.problems:
        page = Paginator(wanted.qs, PAGE_ROWS).get_page(request.GET.get("page"))
        context |= {
            "page": page,
            "rows": [{"user": user, "state": selectors.state_of(user)} for user in page.object_list],
        }
    template = "people/_rows.html" if request.htmx else "people/list.html"  # type: ignore[attr-defined]
    return render(request, template, context, status=status_of(request, wanted.problems))


@_form_methods
@may_manage
def new(request: HttpRequest) -> HttpResponse:
    """An account, and the link by which its user sets a password."""
    actor = _actor(request)
    form = NewUserForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        chosen = form.cleaned_data
        try:
            user = _done(
                lambda: services.create_user(
                    actor=actor,
                    username=chosen["username"],
                    email=chosen["email"],
                    roles=list(chosen["roles"]),
                    superuser=chosen["superuser"],
                    now=timezone.now(),
                )
            )
        except services.NameTaken:
            form.add_error("username", "There is an account of this name already.")
        else:
            return _link_page(request, actor, user, is_new=True)
    context = {"form": form, "roles": _choices(actor, form)}
    return render(request, "people/new.html", context, status=400 if form.errors else 200)


@require_safe
@may_manage
def person(request: HttpRequest, pk: int) -> HttpResponse:
    """What one may, where they are signed in and what they did."""
    return _person_page(request, pk)


@require_POST
@may_manage
def change(request: HttpRequest, pk: int) -> HttpResponse:
    form = AccountForm(request.POST)
    if not form.is_valid():
        return _person_page(request, pk, form=form)
    chosen = form.cleaned_data
    return _acted(
        request,
        pk,
        lambda actor: services.change_user(
            actor=actor,
            user_id=pk,
            roles=list(chosen["roles"]),
            email=chosen["email"],
            superuser=chosen["superuser"],
            now=timezone.now(),
        ),
        "{user} has these roles now. Open pages follow within seconds.",
    )


@require_POST
@may_manage
def deactivate(request: HttpRequest, pk: int) -> HttpResponse:
    form = ReasonForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Say why: the reason is kept in the audit log.")
        return redirect("people:person", pk)
    return _acted(
        request,
        pk,
        lambda actor: services.deactivate(
            actor=actor, user_id=pk, reason=form.cleaned_data["reason"], now=timezone.now()
        ),
        "{user} can't sign in any more and was signed out everywhere.",
    )


@require_POST
@may_manage
def reactivate(request: HttpRequest, pk: int) -> HttpResponse:
    return _acted(
        request,
        pk,
        lambda actor: services.reactivate(actor=actor, user_id=pk, now=timezone.now()),
        "{user} can sign in again, with the password and roles they had.",
    )


@require_POST
@may_manage
def sign_out(request: HttpRequest, pk: int) -> HttpResponse:
    return _acted(
        request,
        pk,
        lambda actor: services.sign_out_everywhere(actor=actor, user_id=pk, now=timezone.now()),
        "Every session of {user} has ended.",
    )


@require_POST
@may_manage
def unlock(request: HttpRequest, pk: int) -> HttpResponse:
    return _acted(
        request,
        pk,
        lambda actor: services.unlock(actor=actor, user_id=pk, now=timezone.now()),
        "{user} can try to sign in again at once.",
    )


@require_POST
@may_manage
def link(request: HttpRequest, pk: int) -> HttpResponse:
    """Shown in this answer and nowhere else."""
    return _link_page(request, _actor(request), _account(pk), is_new=False)


@sensitive_variables("path", "url")
def _link_page(request: HttpRequest, actor: Actor, user: User, *, is_new: bool) -> HttpResponse:
    path = _done(lambda: links.make_link(actor=actor, user_id=user.pk, now=timezone.now()))
    url = request.build_absolute_uri(path)
    mailed, problem = False, ""
    if links.can_mail(user):
        try:
            links.mail_link(user=user, link=url)
            mailed = True
        except OSError as error:
            problem = f"{type(error).__name__}: {error.strerror or 'the mail server did not take it'}"
    context = {
        "person": user,
        "is_new": is_new,
        "url": url,
        "mailed": mailed,
        "mail_problem": problem,
        "ends_at": timezone.now() + links.valid_for(),
    }
    return render(request, "people/link.html", context)


def _person_page(request: HttpRequest, pk: int, form: AccountForm | None = None) -> HttpResponse:
    now, actor = timezone.now(), _actor(request)
    user = selectors.people(now=now).filter(pk=pk).first()
    if user is None:
        raise Http404(f"no user number {pk}")
    chosen = form or AccountForm(
        initial={
            "email": user.email,
            "roles": [group.pk for group in user.groups.all()],
            "superuser": user.is_superuser,
        }
    )
    covered = actor.powers.covers(powers_of(user))
    acts = AuditEntry.objects.visible_to(request.user).filter(actor=user.get_username())
    context = {
        "person": user,
        "state": selectors.state_of(user),
        "form": chosen,
        "problems": chosen.problems if form else [],
        "roles": _choices(actor, chosen),
        "is_self": user.pk == actor.user_id,
        "may_change": covered,
        "own_permissions": user.user_permissions.count(),
        "sessions": selectors.sessions_of(user, current_key=request.session.session_key, now=now),
        "locks": selectors.locks(user, now=now),
        "acts": acts.order_by("-number")[:ACTS_SHOWN],
        "may_read_access": request.user.has_perm(READ_ACCESS),
    }
    return render(request, "people/person.html", context, status=400 if form else 200)


def _choices(actor: Actor, form: AccountForm) -> list[dict[str, Any]]:
    """Each role with whether it is chosen and whether the actor may give it."""
    chosen = {str(one) for one in form["roles"].value() or []}
    held = {str(one) for one in form.initial.get("roles", [])}
    return [
        {
            "role": role,
            "is_chosen": str(role.group.pk) in chosen,
            "is_held": str(role.group.pk) in held,
        }
        for role in selectors.roles(giver=actor.powers)
    ]


def _acted(request: HttpRequest, pk: int, act: Callable[[Actor], object], said: str) -> HttpResponse:
    """Do it and say so, or say why not."""
    user = _account(pk)
    try:
        _done(lambda: act(_actor(request)))
    except services.LastAdmin as error:
        messages.error(request, str(error)[:1].upper() + str(error)[1:])
    else:
        messages.success(request, said.format(user=user.get_username()))
    return redirect("people:person", pk)


def _done(act: Callable[[], Any]) -> Any:
    """What somebody may not do is a refusal, which the log keeps."""
    try:
        return act()
    except NotYours as error:
        raise PermissionDenied(str(error)) from error
    except services.UnknownUser as error:
        raise Http404(str(error)) from error


def _account(pk: int) -> User:
    user = User.objects.filter(pk=pk).first()
    if user is None:
        raise Http404(f"no user number {pk}")
    return user


def _actor(request: HttpRequest) -> Actor:
    return actor_of(cast(User, request.user))
