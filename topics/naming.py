"""The naming rule for topics: `{organization}.{domain}.{signal}.{environment}`.

The signal is optional (`gds.metrics.production`), and `dlq` in the last place marks the topic that
takes a domain's dead letters (`gds.metrics.dlq`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

RULE = "{organization}.{domain}.{signal}.{environment}"
DEAD_LETTERS = "dlq"
METRICS = "metrics"
ALERTS = "alerts"
MAX_LENGTH = 249  # Kafka's own limit
# No underscore: Kafka's metric names fold '.' and '_' together, so two topics could collide there.
_PART = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


class WrongName(ValueError):
    """A topic name breaks the naming rule; the message names the part and its value."""


@dataclass(frozen=True, slots=True)
class TopicName:
    organization: str
    domain: str
    signal: str | None
    environment: str | None  # None for a dead-letter topic

    @property
    def is_dead_letters(self) -> bool:
        return self.environment is None

    def __str__(self) -> str:
        parts = (self.organization, self.domain, self.signal, self.environment or DEAD_LETTERS)
        return ".".join(part for part in parts if part is not None)


def parse(name: str) -> TopicName:
    """Read a topic's name by the naming rule; raise `WrongName` saying which part breaks it."""
    if len(name) > MAX_LENGTH:
        raise WrongName(f"{name[:60]!r}… has {len(name)} characters, at most {MAX_LENGTH} are allowed")
    parts = name.split(".")
    if len(parts) not in (3, 4):
        raise WrongName(
            f"{name!r} has {len(parts)} parts by '.', not 3 or 4; the rule is {RULE}, the signal optional"
        )
    labels = (
        ("organization", "domain", "signal", "environment")
        if len(parts) == 4
        else ("organization", "domain", "environment")
    )
    for label, part in zip(labels, parts, strict=True):
        if not _PART.fullmatch(part):
            raise WrongName(
                f"{name!r}: the {label} {part!r} must be lower-case letters, digits and inner hyphens"
            )
        if part == DEAD_LETTERS and label != "environment":
            raise WrongName(f"{name!r}: {DEAD_LETTERS!r} can only be the last part, not the {label}")
    last = parts[-1]
    return TopicName(
        organization=parts[0],
        domain=parts[1],
        signal=parts[2] if len(parts) == 4 else None,
        environment=None if last == DEAD_LETTERS else last,
    )


def parse_or_none(name: str) -> TopicName | None:
    try:
        return parse(name)
    except WrongName:
        return None


def dead_letter_topic(name: str) -> str:
    """Where a topic's dead letters go: one `.dlq` a domain. Names outside the rule get a suffix."""
    parsed = parse_or_none(name)
    if parsed is None:
        return f"{name}.{DEAD_LETTERS}"
    return str(TopicName(parsed.organization, parsed.domain, None, None))


def alerts_topic(organization: str, environment: str) -> str:
    """Where alert events of one environment go, `gds.alerts.production`."""
    return str(TopicName(organization, ALERTS, None, environment))


def environment_of(topic: str) -> str | None:
    """The environment in a topic's name; None for dead letters and names outside the rule."""
    parsed = parse_or_none(topic)
    return parsed.environment if parsed else None
