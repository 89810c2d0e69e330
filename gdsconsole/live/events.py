"""What may be published to pages, and who may see it. Nothing else leaves a process or reaches a socket."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from django.conf import settings


@dataclass(frozen=True, slots=True)
class EventType:
    """`permission` is what a socket's user needs; `kept` bounds how many keys' newest data Redis holds.

    Of the fields in `history` the values of the last quarter of an hour are kept too (`recent_values.py`).
    """

    name: str
    permission: str
    kept: int = 1_000
    history: tuple[str, ...] = ()


_ALL = (
    EventType("pipeline.stats", "pipelines.view_pipeline", history=("rate_in", "rate_out")),
    EventType("metric.newest", "topics.view_topicdefinition", kept=5_000),
    EventType("alert.changed", "topics.view_alert"),
    EventType("deadletter.changed", "dlq.view_deadletter", kept=10),
    EventType("lag.sampled", "lag.view_groupsample", kept=5_000, history=("total_lag",)),
    EventType("topic.rates", "topics.view_topicdefinition", kept=5_000, history=("rate_in",)),
    EventType("topics.compared", "topics.view_topicdefinition", kept=10),
    EventType("brokers.sampled", "lag.view_brokersample", kept=10),
    EventType("audit.recorded", "audit.read_entries", kept=10),
    EventType("audit.verified", "audit.read_entries", kept=10),
)
EVENT_TYPES: Mapping[str, EventType] = {event.name: event for event in _ALL}

# Between processes only: somebody's access changed (key: user id, or "*"), so sockets look again.
ACCESS_CHANGED = "access.changed"


def allowed_types(has_permission: Callable[[str], bool]) -> frozenset[str]:
    """The names of the types that somebody with these permissions may see."""
    return frozenset(event.name for event in _ALL if has_permission(event.permission))


def channel() -> str:
    """The Redis channel of frames."""
    return f"{settings.GDS_ORGANIZATION}:live:frames"


def newest_key(event_type: str) -> str:
    """The Redis hash of the newest data by key."""
    return f"{settings.GDS_ORGANIZATION}:live:newest:{event_type}"


def order_key(event_type: str) -> str:
    """The Redis sorted set that knows which keys of the hash are the oldest."""
    return f"{settings.GDS_ORGANIZATION}:live:order:{event_type}"


def history_key(event_type: str, key: str) -> str:
    """The Redis list of a key's past values."""
    return f"{settings.GDS_ORGANIZATION}:live:history:{event_type}:{key}"
