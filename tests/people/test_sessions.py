"""A session is its row: it ends for everybody who has its cookie, and lasts without Redis."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from django.contrib.auth.models import Group, User
from django.contrib.sessions.backends.base import UpdateError
from django.db import connection
from django.test import Client
from django.utils import timezone

from gdsconsole.access import sync_roles
from gdsconsole.audit.models import AuditEntry
from gdsconsole.people import sessions
from gdsconsole.people.lifetime import Limits, is_over, is_use, seen_every
from gdsconsole.people.models import Session
from gdsconsole.people.sessions import SessionStore, digest_of

AT = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)
LIMITS = Limits(most=timedelta(days=14), idle=timedelta(hours=12))


@pytest.fixture
def viewer(db: None) -> User:
    sync_roles()
    user = User.objects.create_user("viewer", password="pw")
    user.groups.add(Group.objects.get(name="viewer"))
    return user


def signed_in(agent: str = "a browser") -> Client:
    client = Client(headers={"user-agent": agent})
    assert client.post("/login/", {"username": "viewer", "password": "pw"}).status_code == 302
    return client


def copy_of(client: Client) -> Client:
    """Somebody else who has the cookie."""
    other = Client()
    other.cookies["sessionid"] = client.cookies["sessionid"].value
    return other


def is_in(client: Client) -> bool:
    return client.get("/alerts/").status_code == 200


@pytest.mark.parametrize(
    ("age", "unused", "expected"),
    [
        (timedelta(0), timedelta(0), False),
        (timedelta(days=13), timedelta(hours=11.9), False),
        (timedelta(days=13), timedelta(hours=12), True),
        (timedelta(days=14), timedelta(0), True),
    ],
)
def test_a_session_is_over_by_age_or_by_rest(age: timedelta, unused: timedelta, expected: bool) -> None:
    assert is_over(AT - age, AT - unused, limits=LIMITS, now=AT) is expected


def test_what_an_open_page_reads_by_itself_is_no_use() -> None:
    assert is_use(method="GET", is_htmx=False)
    assert is_use(method="POST", is_htmx=True)
    assert not is_use(method="GET", is_htmx=True)


def test_use_is_noted_often_enough_for_a_short_limit() -> None:
    assert seen_every(LIMITS) == timedelta(minutes=1)
    assert seen_every(Limits(most=LIMITS.most, idle=timedelta(minutes=2))) == timedelta(seconds=30)


@pytest.mark.django_db
class TestEnding:
    @pytest.fixture(autouse=True)
    def _viewer(self, viewer: User) -> None:
        pass

    def test_a_log_out_ends_every_copy_of_the_cookie(self) -> None:
        client, elsewhere = signed_in(), signed_in()
        copied = copy_of(client)
        assert is_in(copied)
        client.post("/logout/")
        assert not is_in(copied)
        assert not is_in(client)
        assert is_in(elsewhere)
        assert AuditEntry.objects.latest("number").sentence == "signed out"

    def test_the_table_opens_no_session(self) -> None:
        client = signed_in()
        row = Session.objects.get()
        assert client.cookies["sessionid"].value not in str(Session.objects.values().get())
        thief = Client()
        thief.cookies["sessionid"] = row.digest
        assert not is_in(thief)

    def test_another_password_ends_the_others_rows_too(self, viewer: User) -> None:
        client = signed_in()
        viewer.set_password("another horse battery")
        viewer.save()
        assert not Session.objects.exists()
        assert not is_in(client)

    def test_a_deactivated_account_is_out(self, viewer: User) -> None:
        client = signed_in()
        viewer.is_active = False
        viewer.save()
        assert not Session.objects.exists()
        viewer.is_active = True
        viewer.save()
        assert not is_in(client)

    def test_what_else_changes_ends_nothing(self, viewer: User) -> None:
        client = signed_in()
        viewer.email = "viewer@example.org"
        viewer.save()
        assert is_in(client)

    def test_a_request_that_is_under_way_brings_no_session_back(self) -> None:
        client = signed_in()
        under_way = SessionStore(client.cookies["sessionid"].value)
        under_way["seen"] = "yes"
        client.post("/logout/")
        with pytest.raises(UpdateError):
            under_way.save()
        assert not Session.objects.exists()

    def test_an_old_key_given_by_somebody_is_not_signed_in_with(self) -> None:
        client = Client()
        client.cookies["sessionid"] = "a" * 32
        client.post("/login/", {"username": "viewer", "password": "pw"})
        assert client.cookies["sessionid"].value != "a" * 32
        assert not Session.objects.filter(digest=digest_of("a" * 32)).exists()


@pytest.mark.django_db
class TestUse:
    @pytest.fixture(autouse=True)
    def _viewer(self, viewer: User) -> None:
        pass

    @pytest.fixture
    def used(self) -> Iterator[Client]:
        """A session that was used an hour ago."""
        client = signed_in(agent="Mozilla/5.0 \x1b[31m" + "x" * 400)
        Session.objects.update(seen_at=timezone.now() - timedelta(hours=1))
        return client

    def test_a_session_knows_where_it_is_used_from(self, used: Client) -> None:
        row = Session.objects.get()
        assert (row.address, row.user.username) == ("127.0.0.1", "viewer")
        assert row.user_agent.startswith("Mozilla/5.0 [31mxx")
        assert len(row.user_agent) == 300

    def test_a_page_is_use_and_what_it_reads_again_is_not(self, used: Client) -> None:
        before = Session.objects.get().seen_at
        used.get("/alerts/", headers={"HX-Request": "true"})
        assert Session.objects.get().seen_at == before
        used.get("/alerts/", REMOTE_ADDR="192.0.2.7")
        after = Session.objects.get()
        assert timezone.now() - after.seen_at < timedelta(minutes=1)
        assert after.address == "192.0.2.7"
        used.get("/alerts/", REMOTE_ADDR="192.0.2.8")
        assert Session.objects.get().seen_at == after.seen_at

    def test_one_that_nobody_uses_ends_for_pages_and_sockets(self, used: Client, settings: Any) -> None:
        from gdsconsole.live.authorization import grant_of

        settings.GDS_SESSION_IDLE_S = 3_599
        key = used.cookies["sessionid"].value
        assert grant_of(key) is None
        assert not is_in(used)
        assert sessions.forget_sessions(now=timezone.now()) == 1

    def test_sessions_within_their_limits_are_not_forgotten(self, used: Client) -> None:
        assert sessions.forget_sessions(now=timezone.now()) == 0
        assert is_in(used)


@pytest.mark.redis
def test_redis_wiped_or_down_logs_nobody_out_and_revives_nobody(
    transactional_db: None, viewer: User, redis_server: Any
) -> None:
    stays, leaves = signed_in(), signed_in()
    gone = copy_of(leaves)
    with redis.Redis.from_url(redis_server.url) as wiped:
        wiped.flushall()
    assert is_in(stays)
    redis_server.kill()
    leaves.post("/logout/")
    assert not is_in(gone)
    assert is_in(stays)
    assert is_in(signed_in())
    redis_server.start()
    assert not is_in(gone)
    assert is_in(stays)


@pytest.mark.skipif("connection.vendor != 'sqlite'")
def test_a_page_waits_for_no_writer(transactional_db: None, viewer: User) -> None:
    """Somebody holds SQLite's one write lock: the page opens all the same, and its use is noted later."""
    client = signed_in()
    Session.objects.update(seen_at=timezone.now() - timedelta(hours=1))
    with closing(sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        began = timezone.now()
        assert is_in(client)
        assert timezone.now() - began < timedelta(seconds=5)
        writer.execute("ROLLBACK")
    assert timezone.now() - Session.objects.get().seen_at > timedelta(minutes=50)
    assert is_in(client)
    assert timezone.now() - Session.objects.get().seen_at < timedelta(minutes=1)
