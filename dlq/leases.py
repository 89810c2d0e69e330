"""One process replays at a time: the lease of a transactional id."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import QuerySet

from dlq.models import Replayer
from gdsconsole.database import leases
from gdsconsole.database.leases import Holder
from gdsconsole.kafka.errors import FencedError


def claim(*, transactional_id: str, holder: Holder, now: datetime, ttl_s: float) -> int | None:
    """The token of the new holder; None while another one holds it."""
    row, _ = Replayer.objects.get_or_create(transactional_id=transactional_id)
    return leases.claim(row, holder=holder, now=now, ttl=timedelta(seconds=ttl_s))


def renew(*, transactional_id: str, token: int, now: datetime, ttl_s: float) -> None:
    """Raises `FencedError` when someone else holds it by now."""
    if not leases.renew(_of(transactional_id), token=token, now=now, ttl=timedelta(seconds=ttl_s)):
        raise FencedError(f"{transactional_id}: another process has taken over")


def release(*, transactional_id: str, token: int, now: datetime) -> None:
    """Give it up, if it is still held."""
    leases.release(_of(transactional_id), token=token, now=now)


def _of(transactional_id: str) -> QuerySet[Replayer]:
    return Replayer.objects.filter(transactional_id=transactional_id)
