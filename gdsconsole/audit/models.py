"""What people did, one row for each deed; rows are added and never changed (triggers, `triggers.py`)."""

from __future__ import annotations

import json
from datetime import UTC
from typing import TYPE_CHECKING, Any, ClassVar

from django.db import models
from django.db.models import Q

from gdsconsole.audit import chain

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User

# Entries of sign-ins and of refused attempts: whose account is tried is not everybody's to read.
ACCESS = "access"
READ, READ_ACCESS = "audit.read_entries", "audit.read_access"


class Outcome(models.TextChoices):
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


class EntryQuerySet(models.QuerySet["AuditEntry"]):
    def visible_to(self, user: User | AnonymousUser) -> EntryQuerySet:
        """What this user may read; every page that shows entries asks here."""
        if not user.has_perm(READ):
            return self.none()
        return self.all() if user.has_perm(READ_ACCESS) else self.exclude(action__startswith=f"{ACCESS}.")


class AuditEntry(models.Model):
    """One sentence: `actor` `sentence`, at `at`, because of `reason`. Written by `services.record` alone.

    `number` counts from 1 without gaps. `action` is `area.verb`; `target` is what it was done to, as the
    sentence names it. `details` is JSON text, kept as text so that it stays what the digest was made of.
    `key` is the id of the key that the digest was made with (`keys.py`).
    """

    number = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField()
    actor = models.CharField(max_length=160)
    action = models.CharField(max_length=60)
    sentence = models.CharField(max_length=500)
    target = models.CharField(max_length=255, blank=True)
    target_url = models.CharField(max_length=300, blank=True)
    reason = models.CharField(max_length=500, blank=True)
    outcome = models.CharField(max_length=8, choices=Outcome)
    details = models.TextField(blank=True)
    previous = models.CharField(max_length=64)
    digest = models.CharField(max_length=64)
    key = models.CharField(max_length=16, blank=True, default="")

    objects: ClassVar[models.Manager[AuditEntry]] = EntryQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        permissions = [
            ("read_entries", "Can read what people did"),
            ("read_access", "Can also read sign-ins and refused attempts"),
        ]
        ordering = ["-number"]
        constraints = [
            models.CheckConstraint(condition=Q(number__gte=1), name="audit_number_from_one"),
            models.CheckConstraint(condition=Q(outcome__in=Outcome.values), name="audit_outcome_known"),
        ]
        indexes = [
            # The page's filters, each newest first, and the bound on refusals.
            models.Index(fields=["at"], name="audit_at"),
            models.Index(fields=["actor", "number"], name="audit_actor"),
            models.Index(fields=["action", "number"], name="audit_action"),
            models.Index(fields=["target", "number"], name="audit_target"),
        ]

    def __str__(self) -> str:
        return f"#{self.number} {self.actor} {self.sentence}"

    @property
    def area(self) -> str:
        return self.action.partition(".")[0]

    @property
    def changes(self) -> dict[str, tuple[Any, Any]]:
        """(before, after) of each field that the deed changed; None where there was, or is, no value."""
        return {name: (before, after) for name, (before, after) in self._details.get("changes", {}).items()}

    @property
    def more_changes(self) -> int:
        """How many changes there were beyond those that are kept."""
        return int(self._details.get("more", 0))

    @property
    def _details(self) -> dict[str, Any]:
        return json.loads(self.details) if self.details else {}

    def computed_digest(self, secret: bytes) -> str:
        """What `digest` must be, if nobody touched the row; `secret` is that of `key`."""
        return chain.digest(
            secret,
            self.previous,
            {
                "number": self.number,
                "at": self.at.astimezone(UTC).isoformat(timespec="microseconds"),
                "actor": self.actor,
                "action": self.action,
                "sentence": self.sentence,
                "target": self.target,
                "target_url": self.target_url,
                "reason": self.reason,
                "outcome": str(self.outcome),
                "details": self.details,
                "key": self.key,
            },
        )


class RefusalCount(models.Model):
    """Refused attempts of one name beyond the log's rate (`attempts.py`); no part of the log itself.

    `total` is of all since `since`, `waiting` of those that no entry tells of yet.
    """

    action = models.CharField(max_length=60)
    name = models.CharField(max_length=255, blank=True)
    actor = models.CharField(max_length=160)
    sentence = models.CharField(max_length=500)
    target = models.CharField(max_length=255, blank=True)
    total = models.BigIntegerField()
    waiting = models.BigIntegerField()
    since = models.DateTimeField()
    last_at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["action", "name"], name="audit_one_count")]

    def __str__(self) -> str:
        return f"{self.total} of {self.action} {self.name}"


class AuditHead(models.Model):
    """The chain's newest link, one row. Whoever adds an entry holds it until the commit, so that
    entries are chained in one order; and entries cut off at the end are missed."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    number = models.BigIntegerField(default=0)
    digest = models.CharField(max_length=64, default=chain.START)

    class Meta:
        default_permissions = ()
        constraints = [models.CheckConstraint(condition=Q(id=1), name="audit_one_head")]

    def __str__(self) -> str:
        return f"#{self.number} {self.digest}"
