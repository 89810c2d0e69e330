"""Wrong passwords, through every way in."""

from __future__ import annotations

import base64
import threading
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import aauthenticate, authenticate
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client, RequestFactory
from django.utils import timezone

from gdsconsole.audit.models import AuditEntry, Outcome
from gdsconsole.people import lockout
from gdsconsole.people.lockout_rules import NETWORK_TRIES, PAIR_TRIES, STRANGER_TRIES, Count, Locked
from gdsconsole.people.models import Attempts

pytestmark = pytest.mark.django_db


class CountedPBKDF2(PBKDF2PasswordHasher):
    """Django's own, which says how often it ran."""

    runs = 0
    # The usual number takes half a second.
    iterations = 1_000

    def encode(self, password: str, salt: str, iterations: int | None = None) -> str:
        type(self).runs += 1
        return super().encode(password, salt, iterations)


@pytest.fixture(autouse=True)
def viewer(settings: Any) -> User:
    settings.PASSWORD_HASHERS = [f"{__name__}.CountedPBKDF2"]
    user = User.objects.create_user("viewer", password="right", is_staff=True)
    CountedPBKDF2.runs = 0
    return user


def try_password(password: str, name: str = "viewer", *, at: str = "192.0.2.1", page: str = "/login/") -> Any:
    return Client(REMOTE_ADDR=at).post(page, {"username": name, "password": password})


def is_let_in(**where: Any) -> bool:
    return try_password("right", **where).status_code == 302


def later(seconds: float) -> None:
    """Everything happened so long ago."""
    for row in Attempts.objects.all():
        row.last_at -= timedelta(seconds=seconds)
        row.locked_until = row.locked_until and row.locked_until - timedelta(seconds=seconds)
        row.save()


def told() -> int:
    return sum(
        entry.changes["attempts"][1] if "attempts" in entry.changes else 1
        for entry in AuditEntry.objects.filter(outcome=Outcome.REFUSED)
    )


def test_a_hundred_wrong_passwords_are_five_hashes_and_a_hundred_in_the_log():
    for number in range(100):
        answer = try_password(f"guess {number}")
    assert CountedPBKDF2.runs == PAIR_TRIES
    assert answer.status_code == 429
    assert 0 < int(answer["Retry-After"]) <= 30
    assert "Too many wrong passwords for this account from here. Try again in" in answer.content.decode()
    assert told() == 100


def test_the_right_password_is_not_looked_at_either_until_the_lock_ends():
    for _ in range(PAIR_TRIES):
        assert try_password("wrong").status_code == 200
    assert not is_let_in()
    later(31)
    assert is_let_in()
    assert Attempts.objects.get(scope="pair").failures == 0


def test_each_wrong_one_after_the_lock_doubles_it():
    for _ in range(PAIR_TRIES):
        try_password("wrong")
    for seconds in (30, 60, 120):
        pair = Attempts.objects.get(scope="pair")
        assert pair.locked_until is not None
        assert (pair.locked_until - pair.last_at).total_seconds() == pytest.approx(seconds)
        later(seconds)
        try_password("wrong")


def test_nobody_is_locked_out_from_another_address():
    for _ in range(50):
        try_password("wrong", at="192.0.2.1")
    assert is_let_in(at="198.51.100.9")
    assert not is_let_in(at="192.0.2.1")


def test_many_addresses_lock_nobody_out_for_ever():
    """Guessed at from everywhere: who was here before has their tries, and a new place has fewer of them."""
    assert is_let_in(at="198.51.100.1")
    for number in range(30):
        try_password("wrong", at=f"203.0.113.{number}")
    try_password("wrong", at="198.51.100.2")
    assert is_let_in(at="198.51.100.2")
    for _ in range(STRANGER_TRIES):
        try_password("wrong", at="198.51.100.3")
    assert not is_let_in(at="198.51.100.3")
    for _ in range(PAIR_TRIES - 1):
        try_password("wrong", at="198.51.100.1")
    assert is_let_in(at="198.51.100.1")


def test_one_address_may_not_try_everybody():
    User.objects.create_user("other", password="right")
    assert is_let_in(name="other")
    for number in range(NETWORK_TRIES):
        try_password("spring2026", name=f"user-{number}")
    assert CountedPBKDF2.runs <= NETWORK_TRIES + 3
    assert not is_let_in()
    assert is_let_in(name="other"), "who is known there isn't locked out by their neighbour"
    assert is_let_in(at="198.51.100.9")


def test_an_ipv6_customer_has_one_count_for_all_their_addresses():
    for number in range(PAIR_TRIES):
        try_password("wrong", at=f"2001:db9::{number + 1:x}")
    assert not is_let_in(at="2001:db9::ffff")
    assert is_let_in(at="2001:db9:0:1::1")


def test_forwarded_addresses_make_no_new_counts(settings: Any):
    for number in range(PAIR_TRIES):
        client = Client(headers={"X-Forwarded-For": f"203.0.113.{number}"}, REMOTE_ADDR="127.0.0.1")
        client.post("/login/", {"username": "viewer", "password": "wrong"})
    assert not is_let_in(at="127.0.0.1")


def test_a_name_that_is_nobodys_is_locked_the_same_way_and_not_kept():
    for _ in range(PAIR_TRIES):
        last = try_password("x", name="correct horse")
    known = [try_password("wrong") for _ in range(PAIR_TRIES)][-1]
    assert last.content.decode().count("is wrong") == known.content.decode().count("is wrong") == 1
    assert try_password("x", name="correct horse").status_code == 429
    assert not any("horse" in str(row) for row in Attempts.objects.values())


@pytest.mark.parametrize("page", ["/login/", "/admin/login/", "/admin/"])
def test_the_admins_log_in_is_the_same_door(page: str):
    target = page if "login" in page else "/admin/login/?next=/admin/"
    for _ in range(PAIR_TRIES):
        try_password("wrong", page=target)
    assert not is_let_in()
    assert not is_let_in(page="/admin/login/")
    assert CountedPBKDF2.runs == PAIR_TRIES


def test_code_that_asks_django_is_counted_too():
    """Whatever scheme comes: the one backend counts, asked synchronously or not."""
    request = RequestFactory().get("/", REMOTE_ADDR="192.0.2.1")
    for _ in range(PAIR_TRIES):
        assert authenticate(request, username="viewer", password="wrong") is None
    assert async_to_sync(aauthenticate)(request, username="viewer", password="right") is None
    assert CountedPBKDF2.runs == PAIR_TRIES
    header = "Basic " + base64.b64encode(b"viewer:right").decode()
    assert Client(headers={"Authorization": header}).get("/alerts/").status_code == 302


def test_an_admin_sees_a_lock_and_ends_it(viewer: User):
    for _ in range(PAIR_TRIES):
        try_password("wrong")
    [lock] = lockout.locks_of(viewer, now=timezone.now())
    assert (lock.network, lock.failures) == ("192.0.2.1", PAIR_TRIES)
    assert lockout.unlock(name="viewer") == 2
    assert is_let_in()
    assert lockout.unlock(name="nobody") == 0


def test_counts_are_forgotten_and_known_networks_are_kept():
    try_password("wrong", at="192.0.2.1")
    assert is_let_in(at="198.51.100.1")
    assert lockout.forget(now=timezone.now() + timedelta(hours=25)) == 4
    assert [row.network for row in Attempts.objects.all()] == ["198.51.100.1"]
    assert lockout.forget(now=timezone.now() + timedelta(days=91)) == 1


@pytest.mark.django_db(transaction=True)
def test_attempts_at_the_same_time_do_not_slip_through():
    """Counted before they are looked at, as several web processes would."""
    found: list[Locked | Count] = []

    def attempt() -> None:
        try:
            found.append(lockout.begin(name="viewer", address="192.0.2.1", now=timezone.now()))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=attempt) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(isinstance(one, Count) for one in found) == PAIR_TRIES
    assert len(found) == 12
