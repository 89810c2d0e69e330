"""What stops the embedded services from starting."""

from __future__ import annotations


class CannotStart(Exception):
    """A step of the start failed; the message is one line that says what to do about it."""
