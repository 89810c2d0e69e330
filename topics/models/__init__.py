from topics.models.alerts import (
    OPEN_STATES,
    Alert,
    AlertEvent,
    AlertRule,
    AlertState,
    EventState,
    Operator,
    Severity,
    Source,
)
from topics.models.definitions import CleanupPolicy, Compression, KeyStrategy, TopicDefinition

__all__ = [
    "OPEN_STATES",
    "Alert",
    "AlertEvent",
    "AlertRule",
    "AlertState",
    "CleanupPolicy",
    "Compression",
    "EventState",
    "KeyStrategy",
    "Operator",
    "Severity",
    "Source",
    "TopicDefinition",
]
