"""What every page's frame needs: navigation, who is looking, and where.

`frame` is read when a template asks for it, which the navigation does: error pages have none, and must
not need a database.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from gdsconsole.assembly.shell import navigation
from gdsconsole.live.routing import LIVE_ROUTE


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the navigation; `count` names what stands behind it in `frame.counts`.

    With a `permission`, those who don't have it aren't shown it.
    """

    label: str
    page: str  # the name of its address
    icon: str
    key: str
    count: str = ""
    staff: bool = False
    permission: str = ""

    @property
    def path(self) -> str:
        return reverse(self.page)


ENTRIES = (
    Entry("Overview", "overview", "layout-dashboard", "o"),
    Entry("Alerts", "topics:alerts", "bell", "a", "alerts", permission="topics.view_alert"),
    Entry("Rules", "topics:rules", "sliders-horizontal", "r", permission="topics.view_alertrule"),
    Entry("Topics", "topics:topics", "layers", "t", "topics", permission="topics.view_topicdefinition"),
    Entry("Pipelines", "pipelines:list", "workflow", "p", "pipelines", permission="pipelines.view_pipeline"),
    Entry("Dead letters", "dlq:letters", "inbox", "d", "dead_letters", permission="dlq.view_deadletter"),
    Entry("Lag", "lag:groups", "gauge", "l", "lag", permission="lag.view_groupsample"),
    Entry("Brokers", "lag:brokers", "server", "b", "brokers", permission="lag.view_brokersample"),
    Entry("Audit", "audit:list", "history", "u", permission="audit.read_entries"),
    Entry("People", "people:list", "users", "e", permission="people.manage_people"),
    Entry("Admin", "admin:index", "settings", "s", staff=True),
)


def chrome(request: HttpRequest) -> dict[str, Any]:
    """Template context of the page frame."""
    user = getattr(request, "user", None)
    entries = [entry for entry in ENTRIES if _is_shown(entry, user)]
    return {
        "organization": settings.GDS_ORGANIZATION,
        "environment": settings.GDS_ENVIRONMENT,
        "live_path": f"/{LIVE_ROUTE}",
        "nav_entries": entries,
        "nav_current": current_entry(request.path, entries),
        "frame": SimpleLazyObject(
            lambda: navigation.read(user.has_perm if user else _nothing, now=timezone.now())
        ),
    }


def current_entry(path: str, entries: list[Entry]) -> Entry | None:
    """The entry whose pages `path` belongs to: the longest that begins it."""
    holding = [
        entry
        for entry in entries
        if path == entry.path or (entry.path != "/" and path.startswith(entry.path))
    ]
    return max(holding, key=lambda entry: len(entry.path), default=None)


def _is_shown(entry: Entry, user: Any) -> bool:
    if not entry.staff and not entry.permission:
        return True
    if not user or not user.is_authenticated:
        return False
    return bool(user.has_perm(entry.permission) if entry.permission else user.is_staff)


def _nothing(permission: str) -> bool:
    return False
