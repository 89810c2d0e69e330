from __future__ import annotations

import pytest

from topics.units import Unit, property_in_words, unit_of


@pytest.mark.parametrize(
    ("metric", "unit"),
    [
        ("cpu_usage_percent", Unit("short", "%")),
        ("replication_lag_seconds", Unit("duration", "")),
        ("query_latency_p99_ms", Unit("short", "ms")),
        ("wal_bytes", Unit("bytes", "")),
        ("transactions_per_second", Unit("short", "/s")),
        ("connections_active", Unit("short", "")),
        ("percent", Unit("short", "")),
    ],
)
def test_what_a_name_promises(metric: str, unit: Unit) -> None:
    assert unit_of(metric) == unit


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("retention.ms", "604800000", "7 d"),
        ("retention.ms", "-1", "for ever"),
        ("retention.ms", "9223372036854775807", "for ever"),
        ("retention.bytes", "9223372036854775807", "no limit"),
        ("retention.ms", "\u0663" + "9" * 5_000, "\u0663" + "9" * 5_000),
        ("retention.bytes", "-1", "no limit"),
        ("max.message.bytes", "1048588", "1 MiB"),
        ("cleanup.policy", "delete", "delete"),
        ("min.insync.replicas", "2", "2"),
        ("message.timestamp.after.max.ms", "9223372036854775807", "no limit"),
        ("segment.ms", None, None),
    ],
)
def test_a_property_in_words(name: str, value: str | None, words: str | None) -> None:
    assert property_in_words(name, value) == words
