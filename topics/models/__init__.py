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
from topics.models.metrics import MetricHour, MetricMinute, MetricPoint, MetricSeries, StreamPartition

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
    "MetricHour",
    "MetricMinute",
    "MetricPoint",
    "MetricSeries",
    "Operator",
    "Severity",
    "Source",
    "StreamPartition",
    "TopicDefinition",
]
