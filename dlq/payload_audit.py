"""What the log says of somebody who sees what a dead letter holds."""

from __future__ import annotations

from django.urls import reverse
from django.utils import timezone

from dlq.models import DeadLetter
from gdsconsole.audit.payload_views import Entry


def letter_entry(letter: DeadLetter, did: str, *, actor: str) -> Entry:
    """`did` is "viewed" or "downloaded"; the letter is named with the record it holds."""
    origin = f"record {letter.topic}-{letter.partition}@{letter.offset}"
    target = f"dead letter {letter.pk}"
    return {
        "actor": actor,
        "sentence": f"{did} {target}, {origin if letter.topic else 'of unknown origin'}",
        "target": target,
        "target_url": reverse("dlq:letter", args=[letter.pk]),
        "now": timezone.now(),
    }
