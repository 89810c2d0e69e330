"""Whether a dead letter may be replayed or discarded, and the sentence said where it may not (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from dlq.models import OPEN_STATES, DeadLetterState

REPLAY_LIMIT = 3


@dataclass(frozen=True, slots=True)
class LetterFacts:
    """What is known of one letter when the decision is made.

    `last_actor`, `last_at` and `last_target` tell of its newest replay or of its discarding.
    """

    state: str
    topic: str | None
    replay_count: int
    last_actor: str | None = None
    last_at: datetime | None = None
    last_target: str | None = None


def why_not_replay(facts: LetterFacts, *, over_limit: bool = False) -> str | None:
    """None if it may be replayed."""
    closed = _why_closed(facts)
    if closed is not None:
        return closed
    if facts.topic is None:
        return "its original topic is unknown, because its envelope could not be read"
    if facts.replay_count >= REPLAY_LIMIT and not over_limit:
        return (
            f"has been replayed {facts.replay_count} times and keeps coming back; "
            f"past {REPLAY_LIMIT} a replay needs the override and a reason"
        )
    return None


def why_not_discard(facts: LetterFacts) -> str | None:
    """None if it may be discarded."""
    return _why_closed(facts)


def _why_closed(facts: LetterFacts) -> str | None:
    if facts.state in OPEN_STATES:
        return None
    by = f" by {facts.last_actor}" if facts.last_actor else ""
    at = f" at {facts.last_at:%Y-%m-%d %H:%M:%S} UTC" if facts.last_at else ""
    if facts.state == DeadLetterState.REPLAYING:
        return f"is already being replayed: asked for{by}{at}"
    if facts.state == DeadLetterState.REPLAYED:
        target = f" to {facts.last_target}" if facts.last_target else ""
        return f"has been replayed{target}{by}{at} and has not come back"
    return f"has been discarded{by}{at}"
