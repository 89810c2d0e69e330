"""Who is signed in, from where, and who was refused too often."""

from __future__ import annotations

from django.conf import settings
from django.db import models

MANAGE = "people.manage_people"


class Session(models.Model):
    """One sign-in of one browser. Without its row a session does not exist: there is no other copy.

    `digest` is of the key that the cookie holds, so whoever reads the table or a backup of it gets into no
    session. `data` is what Django keeps in a session, signed.
    """

    digest = models.CharField(max_length=64, unique=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="console_sessions"
    )
    data = models.TextField()
    created_at = models.DateTimeField()
    # Of the last page or form that somebody asked for; what an open page reads by itself does not count.
    seen_at = models.DateTimeField()
    address = models.CharField(max_length=45, blank=True)
    user_agent = models.CharField(max_length=300, blank=True)

    class Meta:
        default_permissions = ()
        permissions = [("manage_people", "Can manage users and their roles")]
        indexes = [
            models.Index(fields=["seen_at"], name="people_session_seen"),
            models.Index(fields=["created_at"], name="people_session_created"),
        ]

    def __str__(self) -> str:
        return f"session {self.pk}"


class Attempts(models.Model):
    """Wrong passwords of one account from one network, of a network, or of an account.

    `key` is a keyed digest: what is typed as a name may be a password. `user` is the account's, if there is
    one of that name. `succeeded_at` is of the last sign-in as this account from this network.
    """

    class Scope(models.TextChoices):
        PAIR = "pair", "an account from a network"
        NETWORK = "network"
        ACCOUNT = "account"

    scope = models.CharField(max_length=8, choices=Scope)
    key = models.CharField(max_length=64)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="+")
    network = models.CharField(max_length=50, blank=True)
    failures = models.PositiveIntegerField(default=0)
    last_at = models.DateTimeField()
    locked_until = models.DateTimeField(null=True)
    succeeded_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["scope", "key"], name="people_one_attempts"),
            models.CheckConstraint(
                condition=models.Q(scope__in=["pair", "network", "account"]), name="people_scope_known"
            ),
        ]
        indexes = [models.Index(fields=["last_at"], name="people_attempts_last")]

    def __str__(self) -> str:
        return f"{self.failures} of {self.scope} {self.network}"
