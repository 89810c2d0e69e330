"""One definition beside the cluster's topic. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from gdsconsole.kafka.cluster.topic_admin import LiveTopic
from topics.definitions.checklist import Check
from topics.definitions.plan import Adjustment, Drift
from topics.models import TopicDefinition


@dataclass(frozen=True, slots=True)
class TopicState:
    """One definition beside the cluster's topic. `live` is None where there is none, or nobody knows."""

    definition: TopicDefinition
    is_known: bool  # whether the cluster answered, and described it if it is there
    live: LiveTopic | None
    adjustments: tuple[Adjustment, ...]
    drifts: tuple[Drift, ...]
    checks: tuple[Check, ...]
    unread: str = ""  # why the cluster did not describe it, though it is there

    @property
    def failed_checks(self) -> list[Check]:
        return [check for check in self.checks if check.passed is False]

    @property
    def state(self) -> str:
        """One word: unknown, missing, drift or in sync."""
        if not self.is_known:
            return "unknown"
        if self.live is None:
            return "missing" if self.definition.enabled else "disabled"
        return "drift" if self.drifts else "in sync"
