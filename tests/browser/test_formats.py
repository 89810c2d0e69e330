"""The formats of the browser write what those of the server write: tests/text/formats.json, row by row."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.conf import settings

from tests.text.format_table import TABLE

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

# The module imports nothing, so a blank page can run it.
WRITTEN = """async ([source, rows]) => {
  const { FORMATS, age, clock } = await import(source);
  const formats = { ...FORMATS, age, clock: (at) => clock(new Date(at)),
                    clock_ms: (at) => clock(new Date(at), { millis: true }) };
  const ODD = { NaN, Infinity, "-Infinity": -Infinity };
  return rows.map(([name, value]) => formats[name](value in ODD ? ODD[value] : value));
}"""


def test_the_browser_writes_what_the_server_writes(chrome: Browser) -> None:
    script = (Path(settings.BASE_DIR) / "static/js/format.js").read_bytes()
    source = f"data:text/javascript;base64,{base64.b64encode(script).decode()}"
    page = chrome.new_page()
    written = page.evaluate(WRITTEN, [source, TABLE])
    page.close()
    wrong = [(row, got) for row, got in zip(TABLE, written, strict=True) if row[2] != got]
    assert wrong == []
