"""Chromium for a test, and what goes wrong in its pages while nobody looks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

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


def log_in(page: Page, name: str, password: str) -> None:
    """Through the form, as a user does."""
    page.goto("/login/")
    page.fill("[name=username]", name)
    page.fill("[name=password]", password)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/")
