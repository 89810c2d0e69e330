"""When a password isn't looked at any more, and for how long. Pure.

What is counted, and what it is against:

- **A pair**, one account from one network: guessing a password. After 5 wrong ones the next is looked at 30 s
  later, then 60, 120 and so on up to 15 minutes. Nobody else is locked out by it.
- **A network**, whichever accounts: one password tried on everybody. After 20 wrong ones, the same.
- **An account**, from wherever: guessing from many networks. It locks nobody out, or anybody could lock out
  whom they like: an account that is guessed at leaves fewer tries, 2 instead of 5, to networks that its user
  never signed in from. A network from which they did keeps its own count alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

PAIR_TRIES, STRANGER_TRIES, NETWORK_TRIES = 5, 2, 20
# Wrong passwords of an account, from all networks, from which on it is being guessed at.
GUESSED_AT = 25
FIRST, LONGEST = timedelta(seconds=30), timedelta(minutes=15)
FORGOTTEN = timedelta(hours=24)
KNOWN_FOR = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Count:
    """Wrong passwords until now; those of an attempt that is under way among them."""

    failures: int = 0
    last_at: datetime | None = None
    locked_until: datetime | None = None
    succeeded_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Locked:
    """No password is looked at before `until`; `failures` wrong ones are the reason."""

    until: datetime
    failures: int
    what: str


def delay(failures: int, *, tries: int | None) -> timedelta | None:
    """How long after so many wrong passwords none is looked at; None: the next one may come at once.

    `tries` is None for what is counted and never locked.
    """
    if tries is None or failures < tries:
        return None
    # 2^10 half minutes are longer than the longest.
    growth: int = 2 ** min(failures - tries, 10)
    return min(LONGEST, FIRST * growth)


def remembered(count: Count, *, now: datetime) -> Count:
    """Without failures that are too old to count."""
    if count.last_at is None or now - count.last_at >= FORGOTTEN:
        return Count(succeeded_at=count.succeeded_at)
    return count


def is_known(pair: Count, *, now: datetime) -> bool:
    return pair.succeeded_at is not None and now - pair.succeeded_at < KNOWN_FOR


def tries_of(pair: Count, account: Count, *, now: datetime) -> int:
    """How many wrong passwords this network has for this account."""
    guessed_at = remembered(account, now=now).failures >= GUESSED_AT
    return STRANGER_TRIES if guessed_at and not is_known(pair, now=now) else PAIR_TRIES


def locked(pair: Count, network: Count, *, now: datetime) -> Locked | None:
    """Whether a password is looked at now. Who is known here isn't locked out by their neighbours."""
    if pair.locked_until is not None and pair.locked_until > now:
        return Locked(pair.locked_until, pair.failures, "for this account from here")
    if network.locked_until is not None and network.locked_until > now and not is_known(pair, now=now):
        return Locked(network.locked_until, network.failures, "from here")
    return None


def one_more(count: Count, *, tries: int | None, now: datetime) -> Count:
    """Counted before the password is looked at, so that attempts at the same time don't slip through."""
    before = remembered(count, now=now)
    failures = before.failures + 1
    wait = delay(failures, tries=tries)
    return Count(failures, now, now + wait if wait else None, before.succeeded_at)


def one_less(count: Count) -> Count:
    """The password was right after all. The others stay: who has one account may guess at the next."""
    return Count(max(0, count.failures - 1), count.last_at, None, count.succeeded_at)
