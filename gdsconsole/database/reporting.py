"""Failures of the database in one line, for commands and scheduled tasks."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.core.management.base import CommandError
from django.db import DatabaseError, InterfaceError

from gdsconsole.database.outages import detail_of, outage_of
from gdsconsole.database.refusals import refusal_of

# What `database_told` and `outages_logged` look at.
_ERRORS = (DatabaseError, InterfaceError, OverflowError, UnicodeEncodeError)
WRONG_USAGE = 2


@contextmanager
def database_told(options: Mapping[str, Any]) -> Iterator[None]:
    """Around a command: an outage is a `CommandError` that names the service, its address and the cause.

    A value that the database refuses is one that names the option, the value and the rule.
    """
    try:
        yield
    except _ERRORS as error:
        outage = outage_of(error)
        if outage is not None:
            raise CommandError(outage.line) from error
        refusal = refusal_of(error)
        if refusal is None:
            raise
        told = refusal.told({_option(name): value for name, value in options.items()})
        line = told or f"the database refuses a value: {refusal.rule} ({detail_of(error)})"
        raise CommandError(line, returncode=WRONG_USAGE) from error


@contextmanager
def outages_logged(log: logging.Logger, what: str) -> Iterator[None]:
    """Around a scheduled task: an outage is a line that says what it leaves to the next tick."""
    try:
        yield
    except _ERRORS as error:
        outage = outage_of(error)
        if outage is None:
            raise
        log.warning("%s: %s", what, outage.line)


def _option(name: str) -> str:
    return name if name in _POSITIONAL else f"--{name.replace('_', '-')}"


_POSITIONAL = frozenset({"id", "ids", "name", "topic", "file", "consumers", "group"})
