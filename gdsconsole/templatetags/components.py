"""Parts of pages that stand in many of them: banners, empty lists, errors, questions, filters.

The markup is in `templates/components/`; every template has these tags without loading them (settings.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import template
from django.template.loader import get_template
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

register = template.Library()


@register.simple_tag
def problem_link(problem: Any, is_first: bool) -> SafeString:
    """A clause of the overview's headline, linked to the page that explains it where there is one."""
    text = problem.opening if is_first else problem.text
    if problem.href:
        return format_html('<a class="tone-{}" href="{}">{}</a>', problem.tone, problem.href, text)
    return format_html('<span class="tone-{}">{}</span>', problem.tone, text)


@register.simple_block_tag(takes_context=True)
def banner(
    context: template.Context,
    content: str,
    tone: str,
    mark: str,
    title: str,
    href: str = "",
    action: str = "",
) -> SafeString:
    """A line above the page about its data; `tone` is bad, warn, info or ok, `mark` an icon."""
    return _component(context, "banner", content, tone=tone, mark=mark, title=title, href=href, action=action)


@register.simple_block_tag(takes_context=True)
def empty(
    context: template.Context,
    content: str,
    mark: str,
    title: str,
    action_href: str = "",
    action_label: str = "",
    command: str = "",
) -> SafeString:
    """Nothing to list, and what to do next: a button, or a `command` for a shell."""
    more = {"action_href": action_href, "action_label": action_label, "command": command}
    return _component(context, "empty", content, mark=mark, title=title, **more)


@register.simple_block_tag(takes_context=True)
def error(
    context: template.Context,
    content: str,
    title: str,
    mark: str = "unplug",
    detail: str = "",
    retry_href: str = "",
) -> SafeString:
    """A part of the page could not be read: what, why (`detail`, one line), and a retry of this page."""
    return _component(context, "error", content, title=title, mark=mark, detail=detail, retry_href=retry_href)


@register.simple_block_tag(takes_context=True)
def confirm(
    context: template.Context, content: str, dialog_id: str, title: str, action: str, label: str, **more: Any
) -> SafeString:
    """A dialog that asks before an action; the block is the consequence, in numbers.

    `phrase` is to be typed. `asks` has `reason` where one must be given, and `danger` for a red button.
    `fields` is the HTML of hidden inputs. Opened by `<button data-dialog="ID">`.
    """
    return _component(
        context, "confirm", content, id=dialog_id, title=title, action=action, label=label, **more
    )


@register.simple_tag(takes_context=True)
def choice(
    context: template.Context, name: str, label: str, any_word: str, values: Iterable[str]
) -> SafeString:
    """A choice of a filter bar: the address's `name` among `values`; `any_word` is for none of them."""
    chosen = context["request"].GET.get(name, "")
    return _component(
        context, "choice", "", name=name, label=label, any=any_word, values=values, value=chosen
    )


@register.simple_tag(takes_context=True)
def without(context: template.Context, name: str) -> str:
    """This page's address without one of its filters, at its first page."""
    query = context["request"].GET.copy()
    for given in (name, "before", "after", "page"):
        query.pop(given, None)
    return f"?{query.urlencode()}"


@register.simple_tag(takes_context=True)
def search(context: template.Context, placeholder: str, label: str = "Search") -> SafeString:
    """The search field of a filter bar: the address's `q`."""
    value = context["request"].GET.get("q", "")
    return _component(context, "search", "", placeholder=placeholder, label=label, value=value)


def _component(context: template.Context, part: str, content: str, /, **values: Any) -> SafeString:
    """`templates/components/PART.html` with these values and nothing else but the request."""
    known = {"request": context.get("request"), "csrf_token": context.get("csrf_token")}
    made: SafeString = get_template(f"components/{part}.html").template.render(  # type: ignore[attr-defined]
        template.Context({**known, "text": mark_safe(content.strip()), **values})  # noqa: S308  # rendered already
    )
    return made
