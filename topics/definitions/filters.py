"""Which topics the list shows, and in which order; all of it lives in the address."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms

from gdsconsole.kafka.cluster.topic_properties import lasts_for_ever
from gdsconsole.web.filters import Problems
from topics.definitions.state import TopicState

ALL, FAILING = "all", "checks"
# The word in the address, and on the page, for each state.
STATES = {
    ALL: "All",
    "missing": "Missing",
    "drift": "Drift",
    FAILING: "Failed checks",
    "in-sync": "In sync",
    "unknown": "Unknown",
    "disabled": "Disabled",
}
WORST = "-state"
_RANKS = {"disabled": 0, "in sync": 1, "unknown": 2, "drift": 3, "missing": 4}


@dataclass(frozen=True, slots=True)
class ListedTopic:
    """A topic as the list sorts it: what is unknown is None, and comes last."""

    state: TopicState
    rate_in: float | None
    end_total: int | None


_Key = Callable[[ListedTopic], Any]
_SORTS: Mapping[str, _Key] = {
    "name": lambda topic: topic.state.definition.name,
    "state": lambda topic: (_RANKS[topic.state.state], len(topic.state.failed_checks)),
    "rate": lambda topic: topic.rate_in,
    "records": lambda topic: topic.end_total,
    "partitions": lambda topic: len(topic.state.live.partitions) if topic.state.live else None,
    "replication": lambda topic: topic.state.live.replication_factor if topic.state.live else None,
    "retention": lambda topic: _retention(topic.state.definition.retention_ms),
}


class TopicFilter(Problems, forms.Form):
    """`q` is a part of the name, `state` one of `STATES`, `sort` one of the columns, with "-" downwards."""

    q = forms.CharField(required=False, max_length=249)
    state = forms.ChoiceField(choices=list(STATES.items()), required=False)
    sort = forms.ChoiceField(
        choices=[(f"{sign}{name}", name) for name in _SORTS for sign in ("", "-")], required=False
    )

    def shown(self, topics: Sequence[ListedTopic]) -> list[ListedTopic]:
        """Those that pass, in the order asked for; the worst first where none is."""
        asked = self.cleaned_data
        found = [
            topic
            for topic in topics
            if asked["q"].lower() in topic.state.definition.name.lower()
            and is_in(topic.state, asked["state"] or ALL)
        ]
        return _sorted(found, asked["sort"] or WORST)


def is_in(state: TopicState, wanted: str) -> bool:
    """Whether a topic belongs under this word of `STATES`."""
    if wanted == ALL:
        return True
    if wanted == FAILING:
        return state.live is not None and bool(state.failed_checks)
    return state.state == wanted.replace("-", " ")


def _sorted(topics: list[ListedTopic], sort: str) -> list[ListedTopic]:
    key, downwards = _SORTS[sort.removeprefix("-")], sort.startswith("-")
    topics.sort(key=lambda topic: topic.state.definition.name)
    known = [topic for topic in topics if key(topic) is not None]
    known.sort(key=key, reverse=downwards)
    return known + [topic for topic in topics if key(topic) is None]


def _retention(retention_ms: int) -> float:
    return float("inf") if lasts_for_ever(retention_ms) else float(retention_ms)
