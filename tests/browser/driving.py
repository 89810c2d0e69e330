"""Chromium for a test, and what goes wrong in its pages while nobody looks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings
from django.test import Client

from tests import chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@contextmanager
def chrome() -> Iterator[Browser]:
    """The installed browser; the test is skipped where there is none.

    Playwright's event loop runs on this thread for as long, so the database is used between its calls
    only, and no asynchronous test may run meanwhile.
    """
    playwright = pytest.importorskip("playwright.sync_api")
    path = chromium.find()
    if path is None:
        pytest.skip("no Chromium here; `python -m tests.chromium` installs one")
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    try:
        with playwright.sync_playwright() as started:
            browser = started.chromium.launch(executable_path=str(path), args=chromium.FLAGS)
            yield browser
            browser.close()
    finally:
        if before is None:
            del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


def watch(page: Page, wrong: list[str]) -> None:
    """Note every script error, console error, breach of the policy and dialog of the page as it comes."""
    page.on("pageerror", lambda error: wrong.append(f"script error: {error}"))
    page.on("console", lambda line: wrong.append(f"console: {line.text}") if line.type == "error" else None)

    def refuse(dialog: Any) -> None:
        wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    page.on("dialog", refuse)


@contextmanager
def opened_as(client: Client, chrome: Browser, site: str) -> Iterator[Page]:
    """A page with the client's session; whatever goes wrong in it fails the test at the end."""
    context = chrome.new_context(base_url=site, viewport={"width": 1440, "height": 900})
    name = settings.SESSION_COOKIE_NAME
    context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": site}])
    page = context.new_page()
    wrong: list[str] = []
    watch(page, wrong)
    yield page
    context.close()
    assert wrong == [], wrong


def open_live(page: Page, path: str) -> None:
    """Go there and wait for the socket; a mark on the window is gone with a reload."""
    page.goto(path)
    page.wait_for_selector("body[data-connection=live]")
    page.evaluate("window.isTheSame = true")


def log_in(page: Page, name: str, password: str) -> None:
    """Through the form, as a user does."""
    page.goto("/login/")
    page.fill("[name=username]", name)
    page.fill("[name=password]", password)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/")
