"""Django's path converters for names that come from outside. Imported by the URL maps that use them."""

from __future__ import annotations

from django.urls import register_converter

from gdsconsole.text.names import from_address, in_address


class GroupNameConverter:
    """A consumer group in an address: `/lag/a/b/`, and `/lag/~Li4/` for the group `..`."""

    regex = "(?s:.+)"

    def to_python(self, value: str) -> str:
        return from_address(value)

    def to_url(self, value: str) -> str:
        return in_address(value, with_slashes=True)


class NameConverter(GroupNameConverter):
    """A name in one segment of an address; one with a slash is written as what stands for it."""

    regex = "[^/]+"

    def to_url(self, value: str) -> str:
        return in_address(value, with_slashes=False)


register_converter(GroupNameConverter, "groupname")
register_converter(NameConverter, "name")
