"""What open pages are told when dead letters change."""

from __future__ import annotations

from typing import TypedDict

from django.db import transaction

from dlq.models import DeadLetter, DeadLetterState
from gdsconsole.live.publish import publish

EVENT = "deadletter.changed"
KEY = "summary"


class Summary(TypedDict):
    """`pending` counts letters nobody has decided about, `failed` those whose replay did not help."""

    pending: int
    failed: int
    replaying: int
    total: int
    newest_id: int | None
    newest_error: str | None


def summary() -> Summary:
    counts = DeadLetter.objects.counts()
    newest = DeadLetter.objects.order_by("-pk").values_list("pk", "error").first()
    return Summary(
        pending=counts[DeadLetterState.PENDING],
        failed=counts[DeadLetterState.FAILED],
        replaying=counts[DeadLetterState.REPLAYING],
        total=sum(counts.values()),
        newest_id=newest[0] if newest else None,
        newest_error=newest[1][:200] if newest else None,
    )


def publish_summary() -> None:
    """Tell open pages, once what the caller writes is committed; at once outside a transaction."""
    # Robust: the rows are committed by then, so a page that isn't told must not look like a failure.
    transaction.on_commit(_publish, robust=True)


def _publish() -> None:
    publish(EVENT, KEY, dict(summary()))
