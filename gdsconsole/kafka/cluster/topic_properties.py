"""What each topic property holds, as Kafka's own ConfigDef has it.

Brokers store a value as it was written and tell it as they understood it: `0.50` comes back as `0.5`,
`0600000` as `600000`, `False` as `false`. So values are compared by what they mean, and what a broker
could not understand is refused before it is asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping

LONG_MAX = 2**63 - 1


def _whole(bits: int) -> Callable[[str], Hashable]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]+", text):
            raise ValueError("is not a whole number")
        # Digits without an end are refused before they are counted.
        number = int(text) if len(text.lstrip("+-0")) <= 20 else 2**bits
        if not -(2 ** (bits - 1)) <= number < 2 ** (bits - 1):
            raise ValueError(f"is beyond {bits} bits")
        return number

    return parse


def _share(text: str) -> float:
    try:
        number = float(text) if "_" not in text else float("nan")
    except ValueError:
        number = float("nan")
    if not 0 <= number <= 1:
        raise ValueError("is not a number between 0 and 1")
    return number


def _yes_or_no(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError("is neither true nor false")
    return text.lower() == "true"


def _set(text: str) -> frozenset[str]:
    """A list where the order says nothing."""
    return frozenset(part.strip() for part in text.split(",") if part.strip())


def _one_of(*words: str) -> Callable[[str], Hashable]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"is not one of {', '.join(words)}")
        return text

    return parse


_int, _long = _whole(32), _whole(64)
PROPERTIES: Mapping[str, Callable[[str], Hashable]] = {
    "cleanup.policy": _set,
    "compression.gzip.level": _int,
    "compression.lz4.level": _int,
    "compression.type": _one_of("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"),
    "compression.zstd.level": _int,
    "delete.retention.ms": _long,
    "file.delete.delay.ms": _long,
    "flush.messages": _long,
    "flush.ms": _long,
    "follower.replication.throttled.replicas": _set,
    "index.interval.bytes": _int,
    "leader.replication.throttled.replicas": _set,
    "local.retention.bytes": _long,
    "local.retention.ms": _long,
    "max.compaction.lag.ms": _long,
    "max.message.bytes": _int,
    "message.timestamp.after.max.ms": _long,
    "message.timestamp.before.max.ms": _long,
    "message.timestamp.type": _one_of("CreateTime", "LogAppendTime"),
    "min.cleanable.dirty.ratio": _share,
    "min.compaction.lag.ms": _long,
    "min.insync.replicas": _int,
    "preallocate": _yes_or_no,
    "remote.log.copy.disable": _yes_or_no,
    "remote.log.delete.on.disable": _yes_or_no,
    "remote.storage.enable": _yes_or_no,
    "retention.bytes": _long,
    "retention.ms": _long,
    "segment.bytes": _int,
    "segment.index.bytes": _int,
    "segment.jitter.ms": _long,
    "segment.ms": _long,
    "unclean.leader.election.enable": _yes_or_no,
}


def check(name: str, value: str) -> None:
    """Raises ValueError where a broker would not understand the value: `is not a whole number`."""
    PROPERTIES[name](value.strip())


def same(name: str, one: str | None, other: str | None) -> bool:
    """Whether a broker takes both for the same; None is a property that nobody set."""
    if one is None or other is None:
        return one is other
    return meaning(name, one) == meaning(name, other)


def meaning(name: str, value: str) -> Hashable:
    """The value as a broker understands it; what it would not, as it is written."""
    text = value.strip()
    try:
        return PROPERTIES[name](text) if name in PROPERTIES else text
    except ValueError:
        return text


def lasts_for_ever(number: int) -> bool:
    """Whether a retention in milliseconds, or in bytes, is none."""
    return number < 0 or number >= LONG_MAX
