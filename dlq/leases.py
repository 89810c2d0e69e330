"""One process replays at a time: a row with an expiry and a token that grows with every holder."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import F

from dlq.models import Replayer
from gdsconsole.kafka.errors import FencedError
from gdsconsole.pipelines.leases import Holder, is_dead


def claim(*, transactional_id: str, holder: Holder, now: datetime, ttl_s: float) -> int | None:
    """The token of the new holder; None while another one's lease runs and it is not known to be dead."""
    row, _ = Replayer.objects.get_or_create(transactional_id=transactional_id, defaults={"expires_at": now})
    if row.expires_at > now and not is_dead(row):
        return None
    # Of two that see it free, the token lets one through.
    taken = Replayer.objects.filter(pk=row.pk, token=row.token).update(
        token=F("token") + 1,
        host=holder.host,
        pid=holder.pid,
        pid_space=holder.pid_space,
        pid_started=holder.pid_started,
        expires_at=now + timedelta(seconds=ttl_s),
    )
    return row.token + 1 if taken else None


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
    Replayer.objects.filter(transactional_id=transactional_id, token=token).update(pid=None, expires_at=now)
