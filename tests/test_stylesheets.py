"""Stylesheets can be read and edited: short files, and no class that nothing has."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import django.contrib.admin
import django.forms

SHEETS = sorted(Path("static/css").glob("*.css"))
LONGEST = 400
ADMIN = Path(django.contrib.admin.__file__).parent
# Where a class may be given: by the console, by Django's admin, and in the browser by htmx and uPlot.
SOURCES = [
    *Path("templates").rglob("*.html"),
    *Path("static/js").glob("*.js"),
    *(path for package in ("gdsconsole", "topics", "dlq", "lag") for path in Path(package).rglob("*.py")),
    *(path for kind in ("html", "py", "js") for path in ADMIN.rglob(f"*.{kind}")),
    *Path(django.forms.__file__).parent.glob("*.py"),
    *Path("static/vendor").rglob("*.js"),
]
# How the classes begin that data completes, as in `tone-{{ tone }}`. An id can look the same, hence the list.
COMPLETED = ("card-", "chart-", "is-", "series-", "tint-", "tone-")
_WORD = r"[A-Za-z][\w-]*"


def classes(css: str) -> set[str]:
    """The classes that a stylesheet selects by."""
    plain = re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)
    heads = [head for head in re.findall(r"([^{};]+)\{", plain) if not head.strip().startswith("@")]
    return {name for head in heads for name in re.findall(rf"\.({_WORD})", head)}


def strings(kind: str, source: str) -> list[str]:
    """What stands in quotes, `{}` for what data fills in."""
    if kind == ".py":
        tree = ast.parse(source)
        said = [node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)]  # docstrings
        nodes = [node for node in ast.walk(tree) if node not in said]
        whole = [
            node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        return whole + [
            "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
            for node in nodes
            if isinstance(node, ast.JoinedStr)
        ]
    inner: list[str] = []
    if kind == ".html":
        inner += re.findall(r"\{% block \w*class %\}(.*?)\{% endblock", source)
        for tag in re.findall(r"\{[%{].*?[%}]\}", source):
            inner += re.findall(r"""["'](.*?)["']""", tag)
        source = re.sub(r"\{\{.*?\}\}", "{}", re.sub(r"\{%.*?%\}", " ", source))
    source = re.sub(r"\$\{[^{}]*\}", "{}", source)
    return inner + [text for quote in "\"'`" for text in re.findall(f"{quote}([^{quote}]*){quote}", source)]


def given(kind: str, source: str) -> tuple[set[str], set[str]]:
    """The words that may be a class, and the beginnings (`tone-`) of those that data completes."""
    words: set[str] = set()
    begun: set[str] = set()
    for text in strings(kind, source):
        for word in re.split(r"[\s\"'`=<>.,#]+", re.sub(r"""\bid=["'][^"']*["']""", "", text)):
            (begun if word.endswith("-{}") else words).add(word.removesuffix("{}"))
    return words, begun


def test_no_stylesheet_is_longer_than_a_file_may_be() -> None:
    lines = {path.name: len(path.read_text().splitlines()) for path in SHEETS}
    assert {name: count for name, count in lines.items() if count > LONGEST} == {}
    assert len(SHEETS) > 20


def test_every_stylesheet_is_linked_by_a_template() -> None:
    templates = "\n".join(path.read_text() for path in Path("templates").rglob("*.html"))
    assert {path.name for path in SHEETS} == set(re.findall(r"static 'css/([\w-]+\.css)'", templates))


def test_every_class_is_given_to_something() -> None:
    found = [given(path.suffix, path.read_text(errors="replace")) for path in SOURCES]
    words = {word for some, _ in found for word in some}
    begun = {beginning for _, some in found for beginning in some}
    unused = {
        f"{path.name}: .{name}"
        for path in SHEETS
        for name in classes(path.read_text()) - words
        if not name.startswith(COMPLETED)
    }
    assert unused == set()
    assert set(COMPLETED) <= begun


def test_a_class_that_nothing_has_is_found() -> None:
    assert classes("/* .no */ @media (x) { .tab:hover > .e-1 { top: .5px } }") == {"tab", "e-1"}
    words, begun = given(".html", """<i class="a{% if b == "c" %} d{% endif %} e-{{ f }}">tab's</i>""")
    assert {"a", "c", "d"} <= words
    assert "tab" not in words
    assert begun == {"e-"}
    assert given(".js", "element('i', { class: `g h-${i}` })") == ({"g", "i"}, {"h-"})
    assert given(".py", 'def a():\n    """tab"""\n    return f" b-{c}", \'<i id="d-{}" class="e{}">\'')[
        1
    ] == {"b-"}
