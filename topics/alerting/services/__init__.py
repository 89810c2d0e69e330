from topics.alerting.services.acknowledgement import (
    NotAcknowledgeable,
    acknowledge_alert,
    acknowledge_alerts,
)
from topics.alerting.services.alerts import (
    LEASE,
    AlertsMoved,
    Measurement,
    record_measurements,
    resolve_series,
)
from topics.alerting.services.pipelines import watch_pipelines
from topics.alerting.services.rules import delete_rule, resolve_uncovered, save_rule

__all__ = [
    "LEASE",
    "AlertsMoved",
    "Measurement",
    "NotAcknowledgeable",
    "acknowledge_alert",
    "acknowledge_alerts",
    "delete_rule",
    "record_measurements",
    "resolve_series",
    "resolve_uncovered",
    "save_rule",
    "watch_pipelines",
]
