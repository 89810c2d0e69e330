from typing import Any

from django.apps import AppConfig
from django.db import connection
from django.db.models.signals import post_migrate
from django.utils import timezone


class AuditConfig(AppConfig):
    name = "gdsconsole.audit"
    label = "audit"

    def ready(self) -> None:
        post_migrate.connect(_anchor, sender=self, dispatch_uid="audit-anchor")


def _anchor(*, using: str, **_: Any) -> None:
    """A log begins with an anchor, so that one without is known to have lost it."""
    from gdsconsole.audit import services
    from gdsconsole.audit.models import AuditHead

    # Migrated back to nothing, there is no log.
    if using == "default" and AuditHead._meta.db_table in connection.introspection.table_names():
        services.anchor_head(now=timezone.now())
