"""Pages of roles: what may each, and a console's own ones."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.contrib import messages
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from gdsconsole.people import roles as own_roles
from gdsconsole.people import selectors, services
from gdsconsole.people.models import MANAGE
from gdsconsole.people.powers import Actor, NotYours, Powers, actor_of
from gdsconsole.web.permissions import permission_required

may_manage = permission_required(MANAGE)
_form_methods = require_http_methods(["GET", "HEAD", "POST"])


class RoleForm(forms.Form):
    name = forms.CharField(max_length=150, label="Name")
    permissions = forms.ModelMultipleChoiceField(queryset=Permission.objects.none(), required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})
        chooser = cast("forms.ModelMultipleChoiceField[Permission]", self.fields["permissions"])
        chooser.queryset = own_roles.permissions()


@require_safe
@may_manage
def roles(request: HttpRequest) -> HttpResponse:
    actor = _actor(request)
    found = selectors.roles(giver=actor.powers)
    own = {role.group.pk for role in found if own_roles.may_change(actor, role.group)}
    return render(request, "people/roles.html", {"roles": found, "own": own})


@_form_methods
@may_manage
def new(request: HttpRequest) -> HttpResponse:
    return _form_page(request, None)


@_form_methods
@may_manage
def role(request: HttpRequest, pk: int) -> HttpResponse:
    found = Group.objects.filter(pk=pk).first()
    if found is None:
        raise Http404(f"no role number {pk}")
    if not own_roles.may_change(_actor(request), found):
        raise PermissionDenied(f"the role {found} is not to be changed by this user")
    return _form_page(request, found)


@require_POST
@may_manage
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    try:
        name = own_roles.delete_role(actor=_actor(request), role_id=pk, now=timezone.now())
    except own_roles.UnknownRole as error:
        raise Http404(str(error)) from error
    except (NotYours, own_roles.Fixed) as error:
        raise PermissionDenied(str(error)) from error
    except services.LastAdmin as error:
        messages.error(request, str(error))
        return redirect("people:role", pk)
    messages.success(request, f"The role {name} is gone, and what it gave with it.")
    return redirect("people:roles")


def _form_page(request: HttpRequest, found: Group | None) -> HttpResponse:
    actor = _actor(request)
    initial = (
        {"name": found.name, "permissions": list(found.permissions.values_list("pk", flat=True))}
        if found
        else {}
    )
    form = RoleForm(request.POST if request.method == "POST" else None, initial=initial)
    if request.method == "POST" and form.is_valid() and _saved(request, actor, found, form):
        return redirect("people:roles")
    chosen = {str(one) for one in form["permissions"].value() or []}
    choices = [_choice(one, chosen, actor) for one in own_roles.permissions()]
    context = {
        "form": form,
        "role": found,
        "looks": [one for one in choices if one["is_look"]],
        "acts": [one for one in choices if not one["is_look"]],
    }
    return render(request, "people/role.html", context, status=400 if form.errors else 200)


def _choice(permission: Permission, chosen: set[str], actor: Actor) -> dict[str, Any]:
    return {
        "permission": permission,
        "name": permission.name.removeprefix("Can ").capitalize(),
        "is_look": permission.codename.startswith("view_"),
        "is_chosen": str(permission.pk) in chosen,
        "may_give": actor.powers.covers(Powers(frozenset({own_roles.full_name(permission)}))),
    }


def _saved(request: HttpRequest, actor: Actor, found: Group | None, form: RoleForm) -> bool:
    given: dict[str, Any] = {
        "actor": actor,
        "name": form.cleaned_data["name"],
        "chosen": list(form.cleaned_data["permissions"]),
        "now": timezone.now(),
    }
    try:
        if found is None:
            own_roles.create_role(**given)
        else:
            own_roles.change_role(role_id=found.pk, **given)
    except services.NameTaken:
        form.add_error("name", "There is a role of this name already.")
        return False
    except services.LastAdmin as error:
        form.add_error(None, str(error))
        return False
    except NotYours as error:
        raise PermissionDenied(str(error)) from error
    messages.success(request, f"The role {given['name']} is as you chose. Open pages follow within seconds.")
    return True


def _actor(request: HttpRequest) -> Actor:
    return actor_of(cast(User, request.user))
