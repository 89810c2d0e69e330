"""Django's session engine over rows of the database (docs/decisions/0002-sessions.md).

There is one copy of a session, its row. A log-out deletes it, and with it every copy of the cookie. Reading
waits for nobody, SQLite's one writer neither; what is written by a request that only reads is the time of the
session's last use, once a minute, and not at all where the writer is busy.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import CreateError, SessionBase, UpdateError
from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from gdsconsole.database.busy_timeout import waiting_at_most
from gdsconsole.live.events import ACCESS_CHANGED
from gdsconsole.live.publish import publish_on_commit
from gdsconsole.people.lifetime import Limits, is_over, seen_every
from gdsconsole.people.models import Session

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a session is used from: the client's address and what its browser calls itself."""

    address: str = ""
    user_agent: str = ""


class SessionStore(SessionBase):
    """`origin` is kept with the session when it is made, and when its use is written down."""

    def __init__(self, session_key: str | None = None, *, origin: Origin | None = None) -> None:
        super().__init__(session_key)
        self.origin = origin or Origin()
        self.row: Session | None = None

    def exists(self, session_key: str) -> bool:
        return Session.objects.filter(digest=digest_of(session_key)).exists()

    def create(self) -> None:
        while True:
            self._session_key = self._get_new_session_key()  # type: ignore[attr-defined]
            try:
                self.save(must_create=True)
            except CreateError:
                continue
            self.modified = True
            return

    def save(self, must_create: bool = False) -> None:
        if self.session_key is None:
            return self.create()
        data = self._get_session(no_load=must_create)  # type: ignore[attr-defined]
        fields = {"user_id": data.get(SESSION_KEY), "data": self.encode(data)}
        digest = digest_of(self.session_key)
        if not must_create:
            # A row that is gone was ended meanwhile: writing it again would bring the session back.
            if not Session.objects.filter(digest=digest).update(**fields):
                raise UpdateError
            return None
        now = timezone.now()
        try:
            with transaction.atomic():
                self.row = Session.objects.create(
                    digest=digest,
                    created_at=now,
                    seen_at=now,
                    **asdict(self.origin),
                    **fields,
                )
        except IntegrityError as error:
            raise CreateError from error
        return None

    def load(self) -> dict[str, Any]:
        key = self.session_key
        row = Session.objects.filter(digest=digest_of(key)).first() if key else None
        if row is None or is_over(row.created_at, row.seen_at, limits=limits(), now=timezone.now()):
            self._session_key = None
            return {}
        self.row = row
        return self.decode(row.data)

    def delete(self, session_key: str | None = None) -> None:
        key = session_key or self.session_key
        if key:
            end(Session.objects.filter(digest=digest_of(key)))

    def seen(self, *, now: datetime) -> None:
        """Note that somebody uses the session; at most once a minute, and never waiting for it."""
        row = self.row
        if row is None or now - row.seen_at < seen_every(limits()):
            return
        known = {name: value for name, value in asdict(self.origin).items() if value}
        try:
            with waiting_at_most(0):
                Session.objects.filter(pk=row.pk, seen_at__lt=now).update(seen_at=now, **known)
        except DatabaseError as error:
            # The next request notes it: the row is older by a few seconds only.
            log.debug("the use of session %s was not noted: %s", row.pk, error)

    @classmethod
    def clear_expired(cls) -> None:
        forget_sessions(now=timezone.now())


def digest_of(session_key: str) -> str:
    """What the database knows a session by."""
    return sha256(session_key.encode(errors="replace")).hexdigest()


def limits() -> Limits:
    return Limits(
        most=timedelta(seconds=settings.SESSION_COOKIE_AGE),
        idle=timedelta(seconds=settings.GDS_SESSION_IDLE_S),
    )


def end(sessions: QuerySet[Session]) -> int:
    """End these sessions, and the sockets that were opened with them; how many there were."""
    users = {str(pk) for pk in sessions.values_list("user_id", flat=True) if pk is not None}
    ended, _ = sessions.delete()
    for user_id in sorted(users):
        publish_on_commit(ACCESS_CHANGED, user_id, {})
    return ended


def forget_sessions(*, now: datetime) -> int:
    """Delete the rows of sessions that are over; how many there were."""
    bounds = limits()
    over = Q(created_at__lte=now - bounds.most) | Q(seen_at__lte=now - bounds.idle)
    return Session.objects.filter(over).delete()[0]
