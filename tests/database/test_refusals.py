"""Input that the database refuses is told as the field, the value and the rule; it is no outage."""

from __future__ import annotations

import logging
from typing import Any
from unittest.mock import patch

import psycopg
import pytest
from django.core.management import CommandError
from django.db import DatabaseError, DataError, IntegrityError, OperationalError
from django.test import Client
from psycopg import errors as postgresql

from gdsconsole.database.outages import outage_of
from gdsconsole.database.refusals import refusal_of
from gdsconsole.database.reporting import database_told, outages_logged


def wrapped(driver: type[psycopg.Error], kind: type[DatabaseError], text: str) -> DatabaseError:
    try:
        raise kind(text) from driver(text)
    except DatabaseError as error:
        return error


TOO_LONG = wrapped(
    postgresql.StringDataRightTruncation, DataError, "value too long for type character varying(10)"
)
NUL = wrapped(
    psycopg.DataError,
    DataError,
    "PostgreSQL text fields cannot contain NUL (0x00) bytes",  # as psycopg says it
)
TOO_LARGE = wrapped(postgresql.NumericValueOutOfRange, DataError, "integer out of range")
NO_ZONE = wrapped(
    postgresql.InvalidTimeZoneDisplacementValue,
    DataError,
    'time zone displacement out of range: "0001-01-01 00:00:00+23:59"',
)
LARGEST = wrapped(postgresql.NumericValueOutOfRange, DataError, "bigint out of range")
TWICE = wrapped(
    postgresql.UniqueViolation,
    IntegrityError,
    'duplicate key value violates unique constraint "x"\nDETAIL:  Key (name)=(a) already exists.',
)
TO_INDEX = wrapped(
    postgresql.ProgramLimitExceeded,
    OperationalError,
    "index row size 2712 exceeds btree version 4 maximum 2704",
)


@pytest.mark.parametrize(
    ("error", "given", "told"),
    [
        (TOO_LONG, {"reason": "r" * 11}, "reason: 'rrrrrrrrrrr' is refused: at most 10 characters"),
        (NUL, {"ids": ["1"], "q": "a\0b"}, "q: 'a\\x00b' is refused: a NUL character (0x00) can't be stored"),
        (
            TOO_LARGE,
            {"rule": "99999999999"},
            "rule: '99999999999' is refused: a whole number from -2,147,483,648 to 2,147,483,647",
        ),
        (
            NO_ZONE,
            {"o": "1", "date_joined__gte": "0001-01-01T00:00:00+23:59"},
            "date_joined__gte: '0001-01-01T00:00:00+23:59' is refused: a time of the years 1 to 9999, in UTC",
        ),
        (LARGEST, {"pk": 10**30}, "pk: '1000000000000000000000000000000' is refused: a whole number from"),
        (
            OverflowError("Python int too large to convert to SQLite INTEGER"),
            {"pk": 2**63},
            "pk: '9223372036854775808' is refused: a whole number from",
        ),
        (TWICE, {"label": "b", "name": "a"}, "name: 'a' is refused: there is one already"),
        (
            IntegrityError("UNIQUE constraint failed: topics_alertrule.name"),
            {"name": "a"},
            "name: 'a' is refused: there is one already",
        ),
        (
            TO_INDEX,
            {"key": "k" * 3000},
            "(3,000 characters) is refused: it is too long to be stored or indexed",
        ),
        (
            UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
            {"q": "\ud800"},
            "q: '\\ud800' is refused: half of a surrogate pair is no character",
        ),
    ],
    ids=[
        "length",
        "nul",
        "integer",
        "time zone",
        "bigint",
        "sqlite integer",
        "twice",
        "twice on sqlite",
        "index",
        "surrogate",
    ],
)
def test_the_field_the_value_and_the_rule(error: Exception, given: dict[str, Any], told: str) -> None:
    assert outage_of(error) is None
    refusal = refusal_of(error)
    assert refusal is not None
    said = refusal.told(given)
    assert said is not None
    assert told in said


def test_what_was_given_is_not_blamed_where_none_of_it_breaks_the_rule() -> None:
    refusal = refusal_of(TOO_LONG)
    assert refusal is not None
    assert refusal.told({"reason": "short", "confirm": True, "note": None}) is None
    assert refusal_of(OperationalError("database is locked")) is None
    assert refusal_of(RuntimeError("a bug")) is None


def test_a_command_names_the_option_and_is_wrong_usage() -> None:
    refused = pytest.raises(CommandError, match=r"^--reason: 'rrrrrrrrrrr' is refused: at most 10")
    with refused as ended, database_told({"reason": "r" * 11, "ids": [1]}):
        raise TOO_LONG
    assert ended.value.returncode == 2
    with (
        pytest.raises(
            CommandError, match=r"^the database refuses a value: at most 10 characters \(value too"
        ),
        database_told({"reason": ""}),
    ):
        raise TOO_LONG
    with pytest.raises(ZeroDivisionError), database_told({}):
        raise ZeroDivisionError


def test_a_task_leaves_an_outage_to_the_next_tick_and_hides_no_bug(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("tests.ticks")
    with outages_logged(log, "nothing is sampled"):
        raise OperationalError("database is locked")
    assert "nothing is sampled: the database" in caplog.text
    assert "is locked" in caplog.text
    with pytest.raises(DataError), outages_logged(log, "nothing is sampled"):
        raise TOO_LONG


@pytest.mark.django_db
def test_a_page_answers_400_for_its_own_input_and_500_for_a_bug(client_of: Any) -> None:
    client: Client = client_of("admin")
    client.raise_request_exception = False
    with patch("topics.alerting.views.timezone.now", side_effect=TOO_LONG):
        blamed = client.get("/alerts/?q=0123456789abcdef")
        as_json = client.get("/alerts/?q=0123456789abcdef", headers={"Accept": "application/json"})
        ours = client.get("/alerts/?q=short")
    assert blamed.status_code == as_json.status_code == 400
    assert "q: &#x27;0123456789abcdef&#x27; is refused: at most 10 characters" in blamed.content.decode()
    assert as_json.json() == {"error": "q: '0123456789abcdef' is refused: at most 10 characters"}
    assert ours.status_code == 500
