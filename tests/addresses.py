"""Every address of the console with what people and programs could write into it, found by itself.

What may stand in a path comes from the URL map; which words of a query or a form a view reads is seen when
it reads them, and the forms of a page are read from the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, urljoin

import pytest
from django.contrib import admin
from django.http import QueryDict
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils.datastructures import MultiValueDict

# Each has ended some program: numbers at and past what 32 and 64 bits, floats and calendars hold, text that
# is no text, and what a database, a header, a path or a pattern takes for a sign.
ODD = [
    "",
    "0",
    "-1",
    "1",
    "2147483648",
    "9223372036854775808",
    "-9223372036854775809",
    "9" * 19,
    "1" + "0" * 30,
    "9" * 5_000,
    "1e309",
    "nan",
    "-inf",
    "1.5",
    "1_000",
    "\u0663",
    "\u00b2",
    "\0",
    "a\0b",
    "\udcff",
    "\ufffe",
    "\U0001f642\u202e\u200d",
    "x" * 3_000,
    "%",
    "%00",
    "_",
    "\\",
    "'",
    '"',
    "*",
    "[",
    "(a+)+$",
    "..",
    "~",
    "/",
    "//evil.example",
    "javascript:alert(1)",
    "<script>alert(1)</script>",
    "two\r\nlines: 1",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "0001-01-01",
    "9999-12-31T23:59:60Z",
    "0000-00-00",
    "99999-01-01",
    "2026-02-30T25:61",
    "2026-01-01T00:00:00.9999999999+99:99",
    "999999d",
    "999999999h",
    "null",
    "[]",
    '{"a": 1}',
    "[" * 2_000,
    "0:0",
    "0:9223372036854775808",
    "1:" + "9" * 30,
    "a=b",
    ",",
    "-,-",
    "True",
]
_LOOKUPS = (
    "",
    "__exact",
    "__gte",
    "__lt",
    "__year",
    "__month__exact",
    "__day",
    "__date",
    "__in",
    "__isnull",
    "__range",
    "__regex",
)


@dataclass(frozen=True)
class Address:
    """A route of the URL map with its converters, such as `/dlq/<int:pk>/`."""

    route: str
    names: tuple[tuple[str, str], ...]  # converter and name of each place

    def path(self, values: dict[str, str]) -> str:
        found = self.route
        for _, name in self.names:
            text = values.get(name, "1")
            found = re.sub(
                rf"<[^<>]*\b{name}>",
                lambda _, text=text: quote(text.encode("utf-8", "surrogateescape"), safe="/~"),
                found,
            )  # type: ignore[misc]
        return "/" + found


@dataclass
class Form:
    """What a page offers to send."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)


def addresses(patterns: list[Any] | None = None, prefix: str = "") -> Iterator[Address]:
    """Every address, the admin's too."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        route = f"{prefix}{pattern.pattern}"
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern):
            route = route.replace("(?P<url>.*)$", "<path:url>")
            route = re.sub(r"[\^$]|\\Z", "", route)
            names = tuple((kind or "str", name) for kind, name in re.findall(r"<(?:(\w+):)?(\w+)>", route))
            yield Address(route, names)


@contextmanager
def what_is_read() -> Iterator[set[str]]:
    """The words that are looked up in a query or a form meanwhile."""
    read: set[str] = set()
    with pytest.MonkeyPatch.context() as patch:
        for method in ("get", "getlist", "__getitem__", "__contains__", "pop"):
            original = getattr(MultiValueDict, method)

            def noting(self: Any, key: Any, *rest: Any, _original: Any = original, **named: Any) -> Any:
                if isinstance(self, QueryDict) and isinstance(key, str):
                    read.add(key)
                return _original(self, key, *rest, **named)

            patch.setattr(MultiValueDict, method, noting)
        yield read


def words_of(client: Client, method: str, path: str) -> tuple[list[str], Any]:
    """The words of a query or a form that this address reads, and what it answered."""
    with what_is_read() as read:
        response = getattr(client, method)(path)
    return sorted(read - {"csrfmiddlewaretoken"}), response


def admin_words() -> dict[str, list[str]]:
    """By the path of an admin's list: what its filters take, and what they refuse."""
    found = {}
    for model in admin.site._registry:
        opts = model._meta
        fields = [one.name for one in opts.concrete_fields]
        words = [f"{name}{lookup}" for name in fields for lookup in _LOOKUPS]
        found[reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")] = [
            *words,
            *("p", "o", "q", "e", "all", "_facets", "_popup", "_to_field", "_changelist_filters"),
        ]
    return found


class _Forms(HTMLParser):
    def __init__(self, at: str) -> None:
        super().__init__()
        self.found: list[Form] = []
        self._at = at
        self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            action = urljoin(self._at, given.get("action") or self._at)
            self.found.append(Form(action, given.get("method", "get").lower()))
        name = given.get("name", "")
        if not self.found:
            return
        fields = self.found[-1].fields
        if tag in {"input", "textarea", "button"} and name:
            if given.get("type") not in {"checkbox", "radio"} or "checked" in given or name not in fields:
                fields[name] = given.get("value", "")
        elif tag == "select":
            self._select = name
            fields[name] = ""
        elif tag == "option" and self._select and ("selected" in given or not fields.get(self._select)):
            fields[self._select] = given.get("value", "")


def forms_of(page: str, path: str) -> list[Form]:
    parser = _Forms(path)
    parser.feed(page)
    return parser.found
