"""Template tags of the design system: icons, badges, numbers, times, charts (docs/design.md)."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from django import template
from django.http import HttpRequest
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html, format_html_join, json_script
from django.utils.safestring import SafeString

from gdsconsole.text import formats, names
from gdsconsole.text.content import PREVIEW_BYTES, VIEWS, preview
from gdsconsole.text.times import from_millis, likely_unit
from gdsconsole.text.visible import LAYOUT, Visible, visible

register = template.Library()

_FORMATS = {
    "short": formats.short_number,
    "exact": formats.exact_number,
    "rate": formats.rate,
    "percent": formats.percent,
    "bytes": formats.byte_size,
    "duration": formats.duration,
}
register.filter("short", formats.short_number)
register.filter("exact", formats.exact_number)
register.filter("rate", formats.rate)
register.filter("percent", formats.percent)
register.filter("bytes", formats.byte_size)
register.filter("duration", formats.duration)
register.filter("shown", names.shown)

# What a state's word looks like everywhere: (tone, icon).
STATES: Mapping[str, tuple[str, str]] = {
    # severities
    "critical": ("bad", "octagon-alert"),
    "warning": ("warn", "triangle-alert"),
    "info": ("info", "info"),
    # alerts
    "normal": ("ok", "circle-check"),
    "firing": ("bad", "bell-ring"),
    "resolved": ("ok", "circle-check"),
    "acknowledged": ("info", "check"),
    "no data": ("unknown", "circle-question-mark"),
    # pipelines and their consumers
    "running": ("ok", "play"),
    "starting": ("info", "loader-circle"),
    "draining": ("info", "loader-circle"),
    "paused": ("idle", "circle-pause"),
    "retrying": ("warn", "rotate-ccw"),
    "halted": ("bad", "octagon-alert"),
    "lost": ("bad", "unplug"),
    "down": ("bad", "unplug"),
    # groups
    "ok": ("ok", "circle-check"),
    "healthy": ("ok", "circle-check"),
    "slow": ("warn", "clock"),
    "behind": ("warn", "clock"),
    "stalled": ("bad", "octagon-alert"),
    "stopped": ("bad", "circle-minus"),
    "rewound": ("warn", "undo-2"),
    "empty": ("idle", "circle-minus"),
    # dead letters
    "pending": ("warn", "clock"),
    "replaying": ("info", "loader-circle"),
    "replayed": ("ok", "circle-check"),
    "failed": ("bad", "circle-alert"),
    "discarded": ("idle", "trash-2"),
    # accounts
    "active": ("ok", "circle-check"),
    "locked": ("warn", "shield"),
    "invited": ("info", "clock"),
    "deactivated": ("idle", "circle-slash"),
    # declared against live
    "in sync": ("ok", "circle-check"),
    "drift": ("warn", "split"),
    "missing": ("bad", "circle-alert"),
    "enabled": ("ok", "circle-check"),
    "disabled": ("idle", "circle-minus"),
    "unknown": ("unknown", "circle-question-mark"),
}

_TONE_ICONS = {
    "ok": "circle-check",
    "info": "info",
    "warn": "triangle-alert",
    "bad": "octagon-alert",
    "unknown": "circle-question-mark",
}


@register.simple_tag
def icon(name: str, css: str = "") -> SafeString:
    """A Lucide icon from the sprite, hidden from screen readers: a word stands beside it."""
    return format_html(
        '<svg class="icon {}" aria-hidden="true"><use href="{}#{}"/></svg>',
        css,
        static("vendor/lucide/sprite.svg"),
        name,
    )


@register.simple_tag
def tone_icon(tone: str, css: str = "") -> SafeString:
    """The icon that says what a tone says."""
    return icon(_TONE_ICONS[tone], css)


@register.simple_tag
def badge(state: str | None, label: str = "", tone: str = "", mark: str = "") -> SafeString:
    """A state as icon and word on its colour; `label`, `tone` and `mark` (icon) override the table."""
    word = (state or formats.UNKNOWN).replace("_", " ").lower()
    usual_tone, usual_mark = STATES.get(word, ("idle", "circle-dot"))
    return format_html(
        '<span class="badge tone-{}">{}{}</span>', tone or usual_tone, icon(mark or usual_mark), label or word
    )


@register.filter
def tone(state: str | None) -> str:
    """The tone of a state's word: `bad`, `warn`, `ok`, `info`, `idle` or `unknown`."""
    return STATES.get((state or formats.UNKNOWN).replace("_", " ").lower(), ("idle", ""))[0]


@register.simple_tag
def num(value: float | None, as_: str = "short", unit: str = "", live: str = "") -> SafeString:
    """A number in its short form, the exact one on hover.

    `as_` is short, exact, rate, percent, bytes or duration; `live` is `type:key:field` of the live
    event that sets it in place.
    """
    write = _FORMATS[as_]
    known = value is not None
    return format_html(
        '<span class="value{}" title="{}"{}>{}</span>{}',
        "" if known else " unknown",
        f"{formats.exact_number(value)}{' ' + unit if unit else ''}" if known else formats.UNKNOWN,
        format_html(' data-live="{}" data-format="{}" data-unit="{}"', live, as_, unit) if live else "",
        write(value),
        format_html('<span class="unit"> {}</span>', unit) if unit and (known or live) else "",
    )


@register.simple_tag
def ago(at: datetime | float | None) -> SafeString:
    """A time as its age, the absolute time on hover; the page keeps it ticking."""
    if at is None:
        return format_html('<span class="unknown">{}</span>', formats.UNKNOWN)
    moment = _moment(at)
    seconds = (timezone.now() - moment).total_seconds()
    return format_html(
        '<time datetime="{}" data-ago title="{}">{}</time>',
        moment.isoformat(),
        formats.clock(moment),
        formats.age(seconds),
    )


@register.simple_tag
def moment(at: datetime | float | None) -> SafeString:
    """An absolute time, in UTC or in the reader's zone as the zone switch says."""
    if at is None:
        return format_html('<span class="unknown">{}</span>', formats.UNKNOWN)
    when = _moment(at)
    return format_html(
        '<time datetime="{}" data-clock class="nowrap">{}</time>', when.isoformat(), formats.clock(when)
    )


@register.simple_tag
def stamp(millis: int | None) -> SafeString:
    """A record's time, to the millisecond; one that is no date as the number it is, and marked."""
    if millis is None:
        return format_html('<span class="unknown">{}</span>', formats.UNKNOWN)
    when = from_millis(millis)
    if when is not None:
        return format_html(
            '<time datetime="{}" data-clock="ms" class="stamp">{}</time>',
            when.isoformat(timespec="milliseconds"),
            formats.clock(when, millis=True),
        )
    meant = likely_unit(millis)
    return format_html(
        '<span class="stamp" title="{}"><span class="mono">{}</span> {}</span>',
        f"in {meant[0]} it would be {formats.clock(meant[1], millis=True)}"
        if meant
        else "no calendar has it",
        millis,
        badge("no date", label=f"no date: {meant[0]}?" if meant else "no date", tone="warn"),
    )


@register.simple_tag
def spark(
    values: Iterable[float | None], label: str = "", tone: str = "", live: str = "", points: int = 60
) -> SafeString:
    """A sparkline; `None` is a gap. With `live`, each event's value is appended, `points` are kept."""
    text = ",".join("" if value is None else f"{value:g}" for value in values)
    return format_html(
        '<span class="spark{}" role="img" aria-label="{}" data-spark="{}" data-points="{}"{}></span>',
        f" tone-{tone}" if tone else "",
        label or "trend",
        text,
        points,
        format_html(' data-spark-live="{}"', live) if live else "",
    )


@register.simple_tag
def chart(data: Mapping[str, Any], label: str, size: str = "", name: str = "") -> SafeString:
    """A time-series chart; `data` is described in docs/design.md. `size` is short, tall or nothing."""
    identity = name or f"chart-{uuid.uuid4().hex[:8]}"
    return format_html(
        '<figure class="chart{}" id="{}" data-chart hx-morph-skip-children role="group" aria-label="{}">'
        '<div class="chart-plot"></div>{}</figure>',
        f" chart-{size}" if size else "",
        identity,
        label,
        json_script(data, f"{identity}-data"),
    )


@register.simple_tag(takes_context=True)
def sort_header(
    context: template.Context, label: str, field: str, numeric: bool = False, css: str = ""
) -> SafeString:
    """A column's head that sorts by `?sort=field`, and by `?sort=-field` when it does already."""
    request: HttpRequest = context["request"]
    current = request.GET.get("sort") or str(context.get("sort", ""))
    down, up = current == f"-{field}", current == field
    query = request.GET.copy()
    query["sort"] = field if down else f"-{field}" if up or numeric else field
    query.pop("page", None)
    state = "descending" if down else "ascending" if up else ""
    mark = "chevron-down" if down else "chevron-up" if up else "chevrons-up-down"
    return format_html(
        '<th scope="col" class="{}{}"{}><a class="sort" href="?{}">{}{}</a></th>',
        "num " if numeric else "",
        css,
        format_html(' aria-sort="{}"', state) if state else "",
        query.urlencode(),
        label,
        icon(mark),
    )


@register.simple_tag(takes_context=True)
def nav_count(context: template.Context, name: str, swapped: bool = False) -> SafeString:
    """The count behind a navigation's entry; `swapped` marks it to replace the one on an open page."""
    count = context["frame"].counts.get(name)
    return format_html(
        '<span class="nav-count{}" id="nav-{}" title="{}"{}>{}</span>',
        f" tone-{count.tone}" if count and count.text else "",
        name,
        count.title if count and count.text else "",
        SafeString(' hx-swap-oob="true"') if swapped else "",
        count.text if count else "",
    )


@register.simple_tag
def labels(values: Mapping[str, Any]) -> SafeString:
    """Labels of an alert or a metric as chips: `instance=prod-db-01`."""
    return format_html(
        '<span class="chips">{}</span>',
        format_html_join("", '<span class="chip">{}={}</span>', sorted(values.items())),
    )


@register.inclusion_tag("components/code.html", takes_context=True)
def code_view(
    context: template.Context,
    content: bytes | None,
    label: str,
    limit: int = PREVIEW_BYTES,
    switch: bool = False,
) -> dict[str, Any]:
    """Bytes as a reader: indented JSON, else UTF-8 text, else a hex table; cut at `limit` bytes.

    With `switch`, the address's `view` says which, and there are links to the others.
    """
    shown = preview(content, limit=limit)
    request: HttpRequest = context["request"]
    asked = request.GET.get("view", "") if switch else ""
    views = shown.views if shown is not None else []
    return {
        "request": request,
        "label": label,
        "shown": shown,
        "limit": limit,
        "view": asked if asked in views else next(iter(views), ""),
        "views": [(name, VIEWS[name]) for name in views] if switch and shown and shown.size else [],
        "identity": f"code-{label.lower()}",
    }


register.filter("visible", visible)


@register.filter
def visible_lines(text: str) -> Visible:
    """A text of several lines with what nobody would see in it escaped."""
    return visible(text, keep=LAYOUT)


@register.simple_tag(takes_context=True)
def page_query(context: template.Context, number: int) -> str:
    """This page's address with another page number, filters and sort kept."""
    query = context["request"].GET.copy()
    query["page"] = str(number)
    return f"?{query.urlencode()}"


def _moment(at: datetime | float) -> datetime:
    return at.astimezone(UTC) if isinstance(at, datetime) else datetime.fromtimestamp(at, UTC)
