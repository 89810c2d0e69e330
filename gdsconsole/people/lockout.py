"""Counting wrong passwords, for every way to sign in: rows of the database, so for all web processes, and
whether or not Redis answers. A refused attempt reads two rows and writes nothing."""

from __future__ import annotations

from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

from gdsconsole.people import lockout_rules as rules
from gdsconsole.people.lockout_rules import Count, Locked
from gdsconsole.people.models import Attempts
from gdsconsole.web.client_address import network_of

Scope = Attempts.Scope
# Where a request keeps what was decided about its attempt.
_DECIDED = "gdsconsole.people.lockout"


def begin(*, name: str, address: str, now: datetime) -> Locked | Count:
    """Whether a password for this account is looked at now.

    The answer is `Locked`, or what the count of the pair is if the password turns out to be wrong: it is
    counted as such already. Say `succeed` when it is right.
    """
    network = network_of(address)
    # Most refusals are found here, without SQLite's write lock.
    refused = _locked(name, network, now)
    if refused is not None:
        return refused
    with transaction.atomic():
        rows = {scope: _row(scope, name, network, now) for scope in _scopes(network)}
        refused = _locked(name, network, now)
        if refused is not None:
            return refused
        pair, account = _count(rows[Scope.PAIR]), _count(rows[Scope.ACCOUNT])
        tries = {
            Scope.PAIR: rules.tries_of(pair, account, now=now),
            Scope.NETWORK: rules.NETWORK_TRIES,
            Scope.ACCOUNT: None,
        }
        for scope, row in rows.items():
            _set(row, rules.one_more(_count(row), tries=tries[scope], now=now))
        return _count(rows[Scope.PAIR])


def succeed(*, name: str, address: str, now: datetime) -> None:
    """The password was right: the pair starts anew, and the network is known to the account."""
    network = network_of(address)
    with transaction.atomic():
        for scope in _scopes(network):
            row = _row(scope, name, network, now)
            if scope is Scope.PAIR:
                _set(row, Count(0, now, None, now))
            else:
                _set(row, rules.one_less(_count(row)))


def unlock(*, name: str) -> int:
    """Forget every wrong password of the account, from wherever; how many counts there were."""
    account = User.objects.filter(username=name).first()
    counts = Attempts.objects.filter(Q(user=account) & Q(user__isnull=False) & Q(failures__gt=0))
    return counts.update(failures=0, locked_until=None)


def locks_of(user: User, *, now: datetime) -> list[Attempts]:
    """From which networks the account's password isn't looked at now."""
    held = Attempts.objects.filter(user=user, scope=Scope.PAIR, locked_until__gt=now)
    return list(held.order_by("-locked_until"))


def forget(*, now: datetime) -> int:
    """Delete counts that don't count any more; how many."""
    unknown = Q(succeeded_at__isnull=True) | Q(succeeded_at__lte=now - rules.KNOWN_FOR)
    return Attempts.objects.filter(unknown, last_at__lte=now - rules.FORGOTTEN).delete()[0]


def note(request: HttpRequest | None, decided: Locked | Count) -> None:
    """Keep with the request what was decided, for its page and its audit entry."""
    if request is not None:
        request.META[_DECIDED] = decided


def noted(request: HttpRequest) -> Locked | Count | None:
    found: Locked | Count | None = request.META.get(_DECIDED)
    return found


def reason_of(request: HttpRequest) -> str:
    """What a failed attempt of this request led to, in words; empty where it led to nothing."""
    decided = noted(request)
    if isinstance(decided, Locked):
        return f"not looked at: locked {decided.what} after {decided.failures} wrong passwords"
    if decided is not None and decided.locked_until is not None and decided.last_at is not None:
        seconds = (decided.locked_until - decided.last_at).total_seconds()
        return f"locked for {seconds:.0f} s after {decided.failures} wrong passwords"
    return ""


def _scopes(network: str) -> tuple[Attempts.Scope, ...]:
    """In the order in which they are locked. A client whose address nobody knows is no network."""
    return (Scope.PAIR, Scope.NETWORK, Scope.ACCOUNT) if network else (Scope.PAIR, Scope.ACCOUNT)


def _locked(name: str, network: str, now: datetime) -> Locked | None:
    keys = {_key(Scope.PAIR, name, network): Scope.PAIR}
    if network:
        keys[_key(Scope.NETWORK, name, network)] = Scope.NETWORK
    found = {keys[row.key]: _count(row) for row in Attempts.objects.filter(key__in=keys)}
    return rules.locked(found.get(Scope.PAIR, Count()), found.get(Scope.NETWORK, Count()), now=now)


def _row(scope: Attempts.Scope, name: str, network: str, now: datetime) -> Attempts:
    user = None if scope is Scope.NETWORK or "\0" in name else User.objects.filter(username=name).first()
    row, _ = Attempts.objects.select_for_update().get_or_create(
        scope=scope,
        key=_key(scope, name, network),
        defaults={"user": user, "network": "" if scope is Scope.ACCOUNT else network, "last_at": now},
    )
    # The name may be given to somebody after it was guessed at.
    row.user = row.user or user
    return row


def _key(scope: Attempts.Scope, name: str, network: str) -> str:
    parts = {Scope.PAIR: (name, network), Scope.NETWORK: (network,), Scope.ACCOUNT: (name,)}[scope]
    normal = "\n".join(User.normalize_username(part) for part in parts)
    return salted_hmac(f"gdsconsole.people.lockout.{scope}", normal, algorithm="sha256").hexdigest()


def _count(row: Attempts) -> Count:
    return Count(row.failures, row.last_at, row.locked_until, row.succeeded_at)


def _set(row: Attempts, count: Count) -> None:
    row.failures, row.last_at = count.failures, count.last_at or row.last_at
    row.locked_until, row.succeeded_at = count.locked_until, count.succeeded_at
    row.save()
