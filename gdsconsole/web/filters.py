"""What is wrong with the filters of a list, and what the page that says so is answered with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.http import HttpRequest

from gdsconsole.database.refusals import shown


def problems_of(data: Mapping[str, Any], errors: Mapping[str, Sequence[Any]]) -> list[str]:
    """A line for each: the filter's name, what it was given, and what is wrong with it. Pure."""
    return [
        f"{name} {shown(str(data.get(name, '')))}: {error}"
        for name, found in errors.items()
        for error in found
    ]


class Problems:
    """Mixin of a filter set or a form: what is wrong with the address that it was given."""

    data: Mapping[str, Any]

    @property
    def problems(self) -> list[str]:
        form: Any = getattr(self, "form", self)
        return problems_of(self.data, form.errors)


def status_of(request: HttpRequest, problems: Sequence[str]) -> int:
    """400 where there are any; 200 to a page that asks for a part of itself, which shows no other."""
    is_part = request.headers.get("HX-Request") == "true"
    return 400 if problems and not is_part else 200
