"""Names from outside: every one finds its page again, and all of it is shown."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from django.urls import Resolver404, resolve, reverse
from hypothesis import example, given
from hypothesis import strategies as st

from gdsconsole.text import names
from tests.text.odd_names import ODD, walked

# Whatever Kafka can hand out: text without NUL or half of a surrogate pair.
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)


@pytest.mark.parametrize("view", ["lag:group", "topics:topic", "topics:messages"])
@given(name=NAMES)
def test_every_name_finds_its_page(view: str, name: str) -> None:
    found = resolve(unquote(walked(reverse(view, args=[name]))))
    assert (found.view_name, found.kwargs["name"]) == (view, name)


@pytest.mark.parametrize("name", ODD)
def test_so_do_the_odd_ones(name: str) -> None:
    for view in ("lag:group", "topics:topic"):
        assert resolve(unquote(walked(reverse(view, args=[name])))).kwargs == {"name": name}


def test_usual_names_stay_readable() -> None:
    assert reverse("lag:group", args=["gds-alerting"]) == "/lag/gds-alerting/"
    assert reverse("lag:group", args=["a/b c"]) == "/lag/a/b%20c/"
    assert reverse("topics:topic", args=["gds.metrics.production"]) == "/topics/gds.metrics.production/"


@pytest.mark.parametrize("segment", ["~%%%", "~Li4!", "~\xff", "a\0b", "~AA", "~7aCA"])
def test_what_no_name_is_written_as_is_no_address(segment: str) -> None:
    with pytest.raises(Resolver404):
        resolve(f"/lag/{segment}/")


@given(NAMES)
@example("")
def test_a_name_is_never_shown_as_nothing(name: str) -> None:
    text = names.shown(name)
    assert text
    assert not set(text) & {*map(chr, range(32)), "\x7f", "\u202e", "\u2066"}


def test_what_does_not_show_is_shown() -> None:
    assert names.shown("") == "(no name)"
    assert names.shown("two\nlines \x1b[2J") == r"two\nlines \x1b[2J"
    assert names.shown("gepj.\u202eexe") == "gepj.\\u202eexe"
    assert names.shown("gds-alerting é 🙂") == "gds-alerting é 🙂"


@given(st.text(min_size=256, max_size=300), st.text(min_size=256, max_size=300))
def test_a_name_that_is_cut_stays_apart_from_others(one: str, other: str) -> None:
    assert len(names.bounded(one, 255)) == 255
    assert (names.bounded(one, 255) == names.bounded(other, 255)) is (one == other)
    assert names.bounded("short", 255) == "short"
