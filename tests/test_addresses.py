"""The address of a page is written once, in a URL map.

One that is put together by hand breaks for a name with a `#`, a `?` or a `/` in it.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.urls import get_resolver

ROOMS = ("gdsconsole", "topics", "dlq", "lag", "templates", "static/js")
FILES = [
    path
    for room in ROOMS
    for path in sorted((Path(settings.BASE_DIR) / room).rglob("*"))
    if path.suffix in {".py", ".html", ".js"} and path.name != "urls.py"
]
IN_MARKUP = re.compile(r"""\b(?:\w*href|src|(?:form)?action|hx-\w+|data-[\w-]*url)=["']/(?!/)""")


def first_segments() -> set[str]:
    """What addresses begin with: `lag`, `topics`, `login`."""
    spaces = [resolver for name, (_, resolver) in get_resolver().namespace_dict.items() if name != "admin"]
    patterns = [one.pattern for resolver in (get_resolver(), *spaces) for one in resolver.url_patterns]
    return {str(pattern).split("/")[0] for pattern in patterns} - {""}


def literal() -> re.Pattern[str]:
    begins = "|".join(sorted(map(re.escape, first_segments() | {"ws"})))
    return re.compile(rf"[\"'`(]/(?:{begins})(?:[/?#]|(?=[\"'`]))")


def test_no_page_is_led_to_by_a_literal_address() -> None:
    in_code = literal()
    found = [
        f"{path}:{number}: {line.strip()[:120]}"
        for path in FILES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        # What stands in backticks is prose in Python, and a text in JavaScript.
        if in_code.search(re.sub(r"`[^`]*`", "", line) if path.suffix == ".py" else line)
        or (path.suffix == ".html" and IN_MARKUP.search(line))
    ]
    assert found == []
    assert len(FILES) > 300


@pytest.mark.parametrize(
    "line",
    [
        'href="/alerts/?state=firing"',
        "f'/dlq/{pk}/'",
        'retry_href="/lag/"',
        "`/login/?next=${at}`",
        '"/topics/"',
    ],
)
def test_one_would_be_found(line: str) -> None:
    assert literal().search(line)


def test_so_would_the_overview_in_a_template() -> None:
    assert IN_MARKUP.search('<a href="/">')
    assert IN_MARKUP.search('with retry_href="/" %}')
    assert not IN_MARKUP.search('<a href="//example.org">')
