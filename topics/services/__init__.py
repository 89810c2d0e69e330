from topics.services.alerts import (
    LEASE,
    AlertsMoved,
    Measurement,
    NotAcknowledgeable,
    acknowledge_alert,
    record_measurements,
    resolve_series,
    resolve_uncovered,
    save_rule,
)

__all__ = [
    "LEASE",
    "AlertsMoved",
    "Measurement",
    "NotAcknowledgeable",
    "acknowledge_alert",
    "record_measurements",
    "resolve_series",
    "resolve_uncovered",
    "save_rule",
]
