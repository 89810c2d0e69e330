"""A lease: a row that one process holds at a time, until it expires.

Its token grows with every claim and every release. A holder that was replaced finds another token there and
stops. Of two that see the row free, the database lets one through, which compares the token where it sets it.
A claim needs not wait for the expiry of a holder that is known to be dead.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

import psutil
from django.db import models
from django.db.models import F, QuerySet


class LeasedRow(models.Model):
    """What a row says of its holder, as `Holder` describes one; no pid: nobody holds it."""

    token = models.BigIntegerField(default=0)
    host = models.CharField(max_length=255, blank=True)
    # Where `pid` means something, and since when: another kernel, container or process may have the same.
    pid = models.IntegerField(null=True)
    pid_space = models.CharField(max_length=255, blank=True)
    pid_started = models.FloatField(null=True)
    expires_at = models.DateTimeField(null=True)

    class Meta:
        abstract = True

    def is_held(self, now: datetime) -> bool:
        """Whether the lease runs still. A holder may be dead before its lease is over."""
        return self.expires_at is not None and self.expires_at > now


@dataclass(frozen=True, slots=True)
class Holder:
    """A process. `pid_space` and `pid_started` tell it from others with its number.

    `worker` is the one whose process it is, "" for a process of its own.
    """

    host: str
    pid: int
    pid_space: str
    pid_started: float
    worker: str = ""


def this_process(*, worker: str = "") -> Holder:
    """The holder that the running process is."""
    pid = os.getpid()
    return Holder(socket.gethostname(), pid, _pid_space(), psutil.Process(pid).create_time(), worker)


def claim(row: LeasedRow, *, holder: Holder, now: datetime, ttl: timedelta, **fields: Any) -> int | None:
    """The token of the new holder; None while another one's lease runs and it is not known to be dead.

    `fields` are set with it, as they are by the others.
    """
    if row.is_held(now) and not is_dead(row):
        return None
    taken = (
        type(row)
        ._default_manager.filter(pk=row.pk, token=row.token)
        .update(
            token=F("token") + 1,
            host=holder.host,
            pid=holder.pid,
            pid_space=holder.pid_space,
            pid_started=holder.pid_started,
            expires_at=now + ttl,
            **fields,
        )
    )
    return row.token + 1 if taken else None


def renew(rows: QuerySet[Any], *, token: int, now: datetime, ttl: timedelta, **fields: Any) -> bool:
    """Whether the lease is still ours, and longer now.

    One that is over but that nobody took is renewed: there is no one to make way for. Inside a transaction
    it also keeps what is written there from outliving the lease: the row stays locked, or the database,
    until the commit.
    """
    return bool(rows.filter(token=token).update(expires_at=now + ttl, **fields))


def release(rows: QuerySet[Any], *, token: int, now: datetime, **fields: Any) -> bool:
    """Free the row at once; whether it was still ours."""
    freed = rows.filter(token=token).update(token=F("token") + 1, pid=None, expires_at=now, **fields)
    return bool(freed)


class Life(Enum):
    """What is known of a holder's process."""

    ALIVE = "alive"
    FROZEN = "frozen"
    DEAD = "dead"
    UNKNOWN = "unknown"


def life_of(row: LeasedRow) -> Life:
    """Of a process of this very machine and container; of one elsewhere nothing is known."""
    if row.pid is None or row.pid_space != _pid_space():
        return Life.UNKNOWN
    try:
        process = psutil.Process(row.pid)
        status = process.status()
        is_other = row.pid_started is not None and abs(process.create_time() - row.pid_started) > 1
    except psutil.NoSuchProcess:
        return Life.DEAD
    except psutil.AccessDenied:
        return Life.UNKNOWN
    if status == psutil.STATUS_ZOMBIE or is_other:
        return Life.DEAD
    return Life.FROZEN if status in _FROZEN else Life.ALIVE


_FROZEN = (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)


def is_dead(row: LeasedRow) -> bool:
    """Whether the holder is known to be gone before its lease is over."""
    return life_of(row) is Life.DEAD


@cache
def _pid_space() -> str:
    """Names the kernel and the process namespace in which a process id means something."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return f"{socket.gethostname()} {int(psutil.boot_time())}"
