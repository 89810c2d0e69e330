"""What unit the name of a metric or of a topic's property promises, by the usual endings. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from gdsconsole.kafka.cluster.topic_properties import LONG_MAX, lasts_for_ever
from gdsconsole.text.formats import byte_size, duration


class Unit(NamedTuple):
    """`style` is a number format of the design system, `symbol` what is written behind it."""

    style: str
    symbol: str


_BY_ENDING = (
    ("_percent", Unit("short", "%")),
    ("_per_second", Unit("short", "/s")),
    ("_seconds", Unit("duration", "")),
    ("_ms", Unit("short", "ms")),
    ("_bytes", Unit("bytes", "")),
)
_PLAIN = Unit("short", "")


def unit_of(metric_name: str) -> Unit:
    """`cpu_usage_percent` is in %, `replication_lag_seconds` a duration; others are plain numbers."""
    return next((unit for ending, unit in _BY_ENDING if metric_name.endswith(ending)), _PLAIN)


def property_in_words(name: str, value: str | None) -> str | None:
    """`retention.ms` 604800000 as `7 d`, `max.message.bytes` 1048588 as `1 MiB`; others as they are."""
    if value is None or not re.fullmatch(r"-?[0-9]{1,19}", value):
        return value
    number = int(value)
    if name == "retention.ms" and lasts_for_ever(number):
        return "for ever"
    if number >= LONG_MAX or (name == "retention.bytes" and lasts_for_ever(number)):
        return "no limit"
    if name.endswith(".ms"):
        return duration(number / 1000)
    return byte_size(number) if name.endswith(".bytes") else value
