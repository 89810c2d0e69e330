"""Plain functions that make what tests need, with defaults that are valid."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import TIMESTAMP_CREATE_TIME, Message

from dlq.causes import cause_of
from dlq.models import DeadLetter, Envelope
from lag.models import BrokerSample, GroupSample, Method, Status


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


def by(actor: str = "tester") -> dict[str, Any]:
    """Who does what a service is asked for, and when: `services.pause(name="alerting", **by())`."""
    return {"actor": actor, "now": datetime.now(UTC)}


_numbers = itertools.count(1)


def make_dead_letter(**changes: Any) -> DeadLetter:
    """A stored dead letter, each at an offset of its own; `save=False` leaves it unsaved."""
    save = changes.pop("save", True)
    at = changes.get("last_failed_at", datetime(2026, 1, 15, 10, 30, tzinfo=UTC))
    number = next(_numbers)
    fields: dict[str, Any] = {
        "cluster_id": "tests",
        "topic": "gds.metrics.production",
        "topic_id": "hJ7x0yXjQW2mT1b3bqfRDA",
        "partition": 0,
        "offset": number,
        "group": "gds-alerting",
        "timestamp": at,
        "key": b"postgresql:prod-db-01",
        "value": b'{"instance_id":"prod-db-01","value":"high"}',
        "error": "value: expected a finite number, got text",
        "error_type": "InvalidMessage",
        "attempts": 1,
        "first_failed_at": at,
        "last_failed_at": at,
        "envelope": Envelope.HEADERS,
        "dlq_topic": "gds.metrics.dlq",
        "dlq_topic_id": "q1w2e3r4t5y6u7i8o9p0AA",
        "dlq_partition": 0,
        "dlq_offset": number,
    } | changes
    cause = cause_of(error_type=fields["error_type"], message=fields["error"], topic=fields["topic"])
    fields.setdefault("cause", cause.fingerprint)
    fields.setdefault("cause_label", cause.label)
    fields.setdefault("value_size", None if fields["value"] is None else len(fields["value"]))
    letter = DeadLetter(**fields)
    if save:
        letter.save()
    return letter


SAMPLED_AT = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)


def partition_sample(**changes: Any) -> dict[str, Any]:
    """One partition of a group's sample: a group that has read everything, unless told otherwise."""
    return {
        "topic": "gds.metrics.production",
        "topic_id": "hJ7x0yXjQW2mT1b3bqfRDA",
        "partition": 0,
        "committed": 100,
        "end": 100,
        "log_start": 0,
        "lag": 0,
        "lost": 0,
        "age_s": 0.0,
        "method": Method.CAUGHT_UP.value,
        "consumed_per_s": 10.0,
        "produced_per_s": 10.0,
        "eta_s": None,
        "status": Status.OK.value,
        "reason": "",
    } | changes


def make_group_sample(**changes: Any) -> GroupSample:
    """A stored sample of a group that keeps up, unless told otherwise."""
    fields: dict[str, Any] = {
        "group": "gds-alerting",
        "sampled_at": SAMPLED_AT,
        "state": "Stable",
        "status": Status.OK,
        "members": 1,
        "total_lag": 0,
        "unknown_partitions": 0,
        "lost": 0,
        "age_s": 0.0,
        "consumed_per_s": 10.0,
        "produced_per_s": 10.0,
        "partitions": [partition_sample()],
    }
    return GroupSample.objects.create(**fields | changes)


def broker_figures(broker_id: int, **changes: Any) -> dict[str, Any]:
    """One broker of a cluster's sample: up, with every figure known."""
    return {
        "id": broker_id,
        "address": f"127.0.0.1:{9091 + broker_id}",
        "up": True,
        "controller": broker_id == 1,
        "leads": 16,
        "replicas": 48,
        "under_replicated": 0,
        "bytes_in_per_s": 50_000.0,
        "bytes_out_per_s": 100_000.0,
        "messages_in_per_s": 200.0,
        "produce_p99_ms": 12.0,
        "fetch_p99_ms": 504.0,
        "bytes_in_total": 5_000_000.0,
        "bytes_out_total": 10_000_000.0,
        "messages_in_total": 20_000.0,
        "produce_requests_total": 2_000.0,
    } | changes


def make_broker_sample(**changes: Any) -> BrokerSample:
    """A stored sample of three healthy brokers, unless told otherwise."""
    fields: dict[str, Any] = {
        "sampled_at": SAMPLED_AT,
        "cluster_id": "tests",
        "live": 3,
        "expected": 3,
        "partitions": 48,
        "under_replicated": 0,
        "under_min_isr": 0,
        "leaderless": 0,
        "brokers": [broker_figures(number) for number in (1, 2, 3)],
    }
    return BrokerSample.objects.create(**fields | changes)
