"""One process replays at a time: a row with an expiry and a token that grows with every holder."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import F, Q

from dlq.models import Replayer
from gdsconsole.kafka.errors import FencedError


def claim(*, transactional_id: str, holder: str, now: datetime, ttl_s: float) -> int | None:
    """The token of the new holder; None while another one's lease runs."""
    Replayer.objects.bulk_create(
        [Replayer(transactional_id=transactional_id, expires_at=now)], ignore_conflicts=True
    )
    free = Replayer.objects.filter(Q(expires_at__lte=now) | Q(holder=""), transactional_id=transactional_id)
    if not free.update(holder=holder, token=F("token") + 1, expires_at=now + timedelta(seconds=ttl_s)):
        return None
    return Replayer.objects.get(transactional_id=transactional_id, holder=holder).token


def renew(*, transactional_id: str, token: int, now: datetime, ttl_s: float) -> None:
    """Raises `FencedError` when someone else holds it by now.

    Inside a transaction it also keeps what is written there from outliving the lease: the row stays
    locked, or the database, until the commit.
    """
    held = Replayer.objects.filter(transactional_id=transactional_id, token=token)
    if not held.update(expires_at=now + timedelta(seconds=ttl_s)):
        raise FencedError(f"{transactional_id}: another process has taken over")


def release(*, transactional_id: str, token: int, now: datetime) -> None:
    """Give it up, if it is still held."""
    Replayer.objects.filter(transactional_id=transactional_id, token=token).update(holder="", expires_at=now)
