"""When a password is looked at: decisions without a database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gdsconsole.people import lockout_rules as rules
from gdsconsole.people.lockout_rules import Count

NOW = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("failures", "seconds"), [(4, None), (5, 30), (6, 60), (7, 120), (9, 480), (10, 900), (1_000, 900)]
)
def test_the_delay_grows_to_a_bound(failures: int, seconds: int | None) -> None:
    waited = rules.delay(failures, tries=5)
    assert (waited and waited.total_seconds()) == seconds


def test_the_fifth_wrong_password_locks_and_the_lock_ends() -> None:
    count = Count()
    for _ in range(5):
        assert rules.locked(count, Count(), now=NOW) is None
        count = rules.one_more(count, tries=5, now=NOW)
    locked = rules.locked(count, Count(), now=NOW + 29 * SECOND)
    assert locked is not None
    assert (locked.failures, locked.until) == (5, NOW + 30 * SECOND)
    assert rules.locked(count, Count(), now=NOW + 30 * SECOND) is None


def test_a_day_later_it_is_forgotten() -> None:
    old = Count(failures=40, last_at=NOW - timedelta(hours=24))
    assert rules.one_more(old, tries=5, now=NOW).failures == 1


def test_an_account_that_is_guessed_at_leaves_strangers_fewer_tries_and_never_none() -> None:
    guessed = Count(failures=10_000, last_at=NOW)
    known = Count(succeeded_at=NOW - timedelta(days=89))
    assert rules.tries_of(Count(), guessed, now=NOW) == rules.STRANGER_TRIES > 0
    assert rules.tries_of(known, guessed, now=NOW) == rules.PAIR_TRIES
    assert rules.tries_of(Count(succeeded_at=NOW - timedelta(days=91)), guessed, now=NOW) == 2
    yesterday = Count(failures=10_000, last_at=NOW - timedelta(days=1))
    assert rules.tries_of(Count(), yesterday, now=NOW) == rules.PAIR_TRIES


def test_a_locked_network_does_not_lock_out_who_is_known_there() -> None:
    network = Count(20, NOW, NOW + 30 * SECOND)
    assert rules.locked(Count(), network, now=NOW) is not None
    assert rules.locked(Count(succeeded_at=NOW - timedelta(days=1)), network, now=NOW) is None


def test_a_right_password_takes_back_its_own_attempt_only() -> None:
    assert rules.one_less(Count(7, NOW, NOW + SECOND)) == Count(6, NOW, None)
