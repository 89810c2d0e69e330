"""Plain functions that make what tests need, with defaults that are valid."""

from __future__ import annotations

from typing import Any

from confluent_kafka import TIMESTAMP_CREATE_TIME, Message


def make_record(**changes: Any) -> Message:
    """A consumed record: a metric's, unless told otherwise."""
    fields: dict[str, Any] = {
        "topic": "gds.metrics.production",
        "partition": 0,
        "offset": 0,
        "key": b"postgresql:prod-db-01",
        "value": b'{"timestamp":"2026-01-15T10:30:00Z","database_type":"postgresql",'
        b'"instance_id":"prod-db-01","metric_name":"cpu_usage_percent","value":85.5,'
        b'"tags":{"environment":"production"}}',
        "headers": None,
        "timestamp": (TIMESTAMP_CREATE_TIME, 1768473000000),
    }
    return Message(**fields | changes)
