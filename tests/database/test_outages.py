"""An outage of the database is told as what it is, wherever somebody meets it."""

from __future__ import annotations

import errno
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from unittest.mock import patch

import dj_database_url
import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import (
    DatabaseError,
    DataError,
    InternalError,
    OperationalError,
    ProgrammingError,
    connection,
    connections,
)
from django.db.backends.postgresql.base import DatabaseWrapper
from django.test import Client
from psycopg import errors as postgresql

from gdsconsole.assembly import readiness
from gdsconsole.database import outages, timeouts
from gdsconsole.database.outages import Cause, outage_of
from gdsconsole.devstack import ports
from gdsconsole.kafka.errors import FailureKind
from gdsconsole.pipelines.models import Pipeline
from gdsconsole.pipelines.storage import StorageUnavailable, classify_failure

ON_SQLITE = pytest.mark.skipif("connection.vendor != 'sqlite'")


def wrapped(driver: type[psycopg.Error], kind: type[DatabaseError], text: str = "") -> DatabaseError:
    try:
        raise kind(text) from driver(text)
    except DatabaseError as error:
        return error


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (wrapped(postgresql.LockNotAvailable, OperationalError), Cause.LOCKED),
        (wrapped(postgresql.QueryCanceled, OperationalError), Cause.LOCKED),
        (wrapped(postgresql.DeadlockDetected, OperationalError), Cause.LOCKED),
        (wrapped(postgresql.DiskFull, OperationalError), Cause.FULL),
        (wrapped(postgresql.ReadOnlySqlTransaction, InternalError), Cause.READ_ONLY),
        (wrapped(postgresql.IdleInTransactionSessionTimeout, InternalError), Cause.DOWN),
        (wrapped(postgresql.AdminShutdown, OperationalError), Cause.DOWN),
        (wrapped(postgresql.TooManyConnections, OperationalError), Cause.DOWN),
        (wrapped(psycopg.OperationalError, OperationalError, "connection refused"), Cause.DOWN),
        (wrapped(postgresql.UndefinedTable, ProgrammingError), Cause.NOT_MIGRATED),
        (OperationalError("database is locked"), Cause.LOCKED),
        # What no waiting mends is no outage.
        (wrapped(postgresql.ProgramLimitExceeded, OperationalError), None),
        (wrapped(postgresql.StringDataRightTruncation, DataError), None),
        (wrapped(postgresql.SyntaxError, ProgrammingError), None),
        (wrapped(postgresql.InvalidTransactionState, InternalError), None),
        (RuntimeError("database is locked"), None),
    ],
    ids=lambda value: type(value.__cause__ or value).__name__ if isinstance(value, Exception) else str(value),
)
def test_an_error_is_an_outage_by_its_state_and_not_by_its_class(
    error: Exception, cause: Cause | None
) -> None:
    found = outage_of(error)
    assert (found.cause if found else None) is cause
    kind = FailureKind.UNKNOWN if cause is None else FailureKind.TRANSIENT
    # What is no outage is the record's own fault: retried for ever, it would hold up what follows.
    assert classify_failure(error) is kind


def test_a_disk_that_is_full_beside_the_database_is_the_same() -> None:
    found = outage_of(OSError(errno.ENOSPC, "No space left on device", "/data/audit/anchor.log"))
    assert found is not None
    assert found.cause is Cause.FULL
    assert outage_of(FileNotFoundError(errno.ENOENT, "No such file")) is None


def test_the_outage_behind_another_error_is_found() -> None:
    with pytest.raises(StorageUnavailable) as met:
        raise StorageUnavailable("x") from OperationalError("database is locked")
    assert outage_of(met.value) == outages.Outage(Cause.LOCKED, "database is locked")


def sqlite_error(make: Callable[[], object]) -> DatabaseError:
    """What the driver raises, as Django hands it on."""
    try:
        with connection.wrap_database_errors:
            make()
    except DatabaseError as error:
        return error
    raise AssertionError("nothing was raised")


@ON_SQLITE
def test_sqlite_tells_full_read_only_damaged_and_missing_apart(tmp_path) -> None:
    file = tmp_path / "a.sqlite3"
    with closing(sqlite3.connect(file, isolation_level=None)) as made:
        made.execute("CREATE TABLE t (a)")
        made.execute("PRAGMA max_page_count = 3")
        full = sqlite_error(lambda: made.execute("INSERT INTO t VALUES (zeroblob(100000))"))
        missing = sqlite_error(lambda: made.execute("SELECT * FROM other"))
        wrong = sqlite_error(lambda: made.execute("SELEC"))
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as read:
        read_only = sqlite_error(lambda: read.execute("INSERT INTO t VALUES (1)"))
    other = tmp_path / "b.sqlite3"
    other.write_bytes(b"no database at all" * 200)
    with closing(sqlite3.connect(other)) as damaged:
        bad = sqlite_error(lambda: damaged.execute("SELECT * FROM t"))
    gone = sqlite_error(lambda: sqlite3.connect(tmp_path / "none" / "c.sqlite3"))
    causes = [found.cause if (found := outage_of(error)) else None for error in (full, read_only, bad, gone)]
    assert causes == [Cause.FULL, Cause.READ_ONLY, Cause.DAMAGED, Cause.DOWN]
    found = outage_of(missing)
    assert found is not None
    assert found.cause is Cause.NOT_MIGRATED
    assert outage_of(wrong) is None


@pytest.fixture
def lock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], object]]:
    """Another process holds SQLite's one lock; call it for that. This one hardly waits."""
    Pipeline.objects.create(name="alerting", group="gds-alerting")
    monkeypatch.setattr(readiness, "WRITE_TIMEOUT_MS", 50)
    timeouts.bound_waits(timeouts.Waits(lock=50, impatient_lock=50))
    with closing(sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)) as holder:
        yield lambda: holder.execute("BEGIN EXCLUSIVE")
        holder.execute("ROLLBACK")
    timeouts.unbound_waits()


def people(client_of: Callable[[str], Client]) -> Client:
    client = client_of("admin")
    client.raise_request_exception = False
    return client


@ON_SQLITE
@pytest.mark.django_db(transaction=True)
def test_a_locked_database_is_a_page_that_says_so_and_what_only_reads_goes_on(client_of, lock) -> None:
    client = people(client_of)
    lock()
    assert client.get("/pipelines/").status_code == 200
    paused = client.post("/pipelines/alerting/pause/")
    newcomer = Client(raise_request_exception=False)
    log_in = newcomer.post("/login/", {"username": "admin", "password": "pw"})
    for reply in (paused, log_in):
        assert (reply.status_code, reply["X-Outage"]) == (503, "locked")
        assert "The database is locked" in reply.content.decode()
    assert "is locked" in readiness_of("database")


def readiness_of(part: str) -> str:
    return readiness._checked(part, readiness.CHECKS[part]).detail


@ON_SQLITE
@pytest.mark.django_db(transaction=True)
def test_readiness_writes_and_does_not_wait_long(lock) -> None:
    lock()
    began = time.monotonic()
    assert readiness_of("database") == "is locked"
    assert time.monotonic() - began < 2


@pytest.mark.django_db
def test_readiness_leaves_the_connection_as_it_was() -> None:
    assert readiness.database() == "takes writes"
    assert readiness.database() == "takes writes"
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            assert cursor.execute("PRAGMA busy_timeout").fetchone() == (10_000,)


@ON_SQLITE
@pytest.mark.django_db(transaction=True)
def test_a_command_names_the_service_and_the_cause_in_a_line(lock) -> None:
    lock()
    with pytest.raises(CommandError, match=r"^the database \S+ is locked: database is locked$"):
        call_command("pipelines", "pause", "alerting")


class Away:
    """Every statement fails as on a database that is full."""

    def __call__(self, *_: object) -> object:
        raise OperationalError("database or disk is full")


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/", "/alerts/", "/pipelines/", "/login/?next=/alerts/", "/admin/"])
def test_every_page_is_a_503_that_names_the_cause_and_reads_nothing(client_of, path: str) -> None:
    client = people(client_of)
    with connection.execute_wrapper(Away()):
        reply = client.get(path)
    if path.startswith("/login/") and reply.status_code == 200:
        pytest.skip("the log-in page asks nothing")
    assert (reply.status_code, reply["Retry-After"], reply["X-Outage"]) == (503, "5", "full")
    text = reply.content.decode()
    assert "The database is full" in text
    assert f'content="5;url={path}"' in text
    assert "our fault" not in text
    assert reply["Cache-Control"] == "no-store"
    assert "default-src 'none'" in reply["Content-Security-Policy"]


@pytest.mark.django_db
def test_what_was_sent_is_told_from_what_was_asked(client_of) -> None:
    client = people(client_of)
    with connection.execute_wrapper(Away()):
        text = client.post(
            "/pipelines/alerting/pause/", HTTP_REFERER="http://testserver/pipelines/"
        ).content.decode()
        elsewhere = client.post(
            "/pipelines/alerting/pause/", HTTP_REFERER="http://evil.example/x"
        ).content.decode()
    assert "nothing was changed: send it again" in text
    assert 'content="15;url=/pipelines/"' in text
    assert 'content="15;url=/"' in elsewhere


@pytest.mark.django_db
def test_a_part_of_a_page_and_a_program_get_what_they_can_use(client_of) -> None:
    client = people(client_of)
    with connection.execute_wrapper(Away()):
        part = client.get("/alerts/", headers={"HX-Request": "true"})
        told = client.get("/alerts/", headers={"Accept": "application/json"})
    assert part.status_code == told.status_code == 503
    assert "<html" not in part.content.decode()
    assert "The database is full" in part.content.decode()
    assert told.json()["cause"] == "full"


@pytest.mark.django_db
def test_a_bug_stays_our_fault(client_of) -> None:
    client = people(client_of)
    with patch("topics.alerting.views.timezone.now", side_effect=RuntimeError("a bug")):
        reply = client.get("/alerts/")
    assert reply.status_code == 500
    assert "our fault" in reply.content.decode()


@pytest.mark.django_db
def test_on_postgresql_a_lock_a_standby_and_a_server_that_is_gone_are_told_apart(postgresql) -> None:
    url = postgresql.create_database("outages")
    options = {**connections["default"].settings_dict, "OPTIONS": {}, **dj_database_url.parse(url)}
    here = DatabaseWrapper(options)

    def cause_of(statement: str) -> Cause | None:
        try:
            with here.cursor() as cursor:
                cursor.execute(statement)
        except DatabaseError as error:
            found = outage_of(error)
            return found.cause if found else None
        raise AssertionError(f"{statement} passed")

    with here.cursor() as cursor:
        cursor.execute("CREATE TABLE t (a varchar(3))")
    timeouts.apply_waits(here, timeouts.PAGES, lock_ms=50)
    with psycopg.connect(url) as holder:
        holder.execute("LOCK TABLE t")
        assert cause_of("SELECT * FROM t") is Cause.LOCKED
        holder.rollback()
    assert cause_of("INSERT INTO t VALUES ('long')") is None
    assert cause_of("SELECT * FROM other") is Cause.NOT_MIGRATED
    with here.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
    assert cause_of("INSERT INTO t VALUES ('a')") is Cause.READ_ONLY
    with psycopg.connect(postgresql.url(), autocommit=True) as killer:
        killer.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'outages'")
    assert cause_of("SELECT 1") is Cause.DOWN
    here.close()
    here.settings_dict["PORT"] = ports.free(1)[0]
    assert cause_of("SELECT 1") is Cause.DOWN
