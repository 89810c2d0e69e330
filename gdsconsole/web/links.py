"""Addresses of the console's pages, for whoever leads to one: by the URL map, with what narrows the page."""

from __future__ import annotations

from urllib.parse import urlencode

from django.urls import reverse


def alerts(**query: object) -> str:
    return _to("topics:alerts", query)


def rules(**query: object) -> str:
    return _to("topics:rules", query)


def topics(**query: object) -> str:
    return _to("topics:topics", query)


def topic(name: str) -> str:
    return reverse("topics:topic", args=[name])


def pipelines(name: str = "") -> str:
    """The page of the pipelines, at one of them."""
    return reverse("pipelines:list") + (f"#pipeline-{name}" if name else "")


def dead_letters(**query: object) -> str:
    return _to("dlq:letters", query)


def lag() -> str:
    return reverse("lag:groups")


def group(name: str) -> str:
    """The page of a consumer group, whatever its name."""
    return reverse("lag:group", args=[name])


def brokers() -> str:
    return reverse("lag:brokers")


def _to(name: str, query: dict[str, object]) -> str:
    return reverse(name) + (f"?{urlencode(query)}" if query else "")
