"""The headline of the topics says whether they run as declared, and what first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gdsconsole.kafka.cluster.topic_admin import LiveTopic
from gdsconsole.text.headline import Headline
from topics.definitions.checklist import Check
from topics.definitions.headlines import about_topics
from topics.definitions.plan import Drift, DriftKind
from topics.definitions.state import TopicState
from topics.models import TopicDefinition

DRIFT = Drift("gds.a.production", "retention.ms", "1", "1", "2", DriftKind.CHANGED_ON_CLUSTER)
FEW = Check("replication.factor >= 3", False, "replication factor 1")


def state(name: str, **changes: Any) -> TopicState:
    """A topic that runs as declared and passes its checks."""
    there = TopicState(
        definition=TopicDefinition(name=name),
        is_known=True,
        live=LiveTopic(name, "id", (), 3, {}),
        adjustments=(),
        drifts=(),
        checks=(Check("exists", True, "on the cluster"),),
    )
    return replace(there, **changes)


OK, OTHER = state("gds.a.production"), state("gds.b.production")
MISSING = state("gds.c.production", live=None)
DRIFTING = state("gds.a.production", drifts=(DRIFT,))
FAILING = state("gds.b.production", checks=(FEW,))


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ([], Headline("No topic is declared.", "warn")),
        ([OK], Headline("The one declared topic runs as declared and passes every check.", "ok")),
        ([OK, OTHER], Headline("All 2 topics run as declared and pass every check.", "ok")),
        ([OK, MISSING], Headline("gds.c.production is not on the cluster.", "bad")),
        ([DRIFTING, OTHER], Headline("gds.a.production differs from what was declared.", "warn")),
        (
            [DRIFTING, FAILING, MISSING],
            Headline(
                "gds.c.production is not on the cluster; gds.a.production differs from what was declared; "
                "gds.b.production fails replication.factor >= 3.",
                "bad",
            ),
        ),
        (
            [
                FAILING,
                state("gds.a.production", checks=(FEW, replace(FEW, name="x"), replace(FEW, name="y"))),
            ],
            Headline("2 topics fail replication.factor >= 3 and x and 1 more.", "warn"),
        ),
    ],
)
def test_topics(states: list[TopicState], said: Headline) -> None:
    assert about_topics(states, is_known=True) == said


def test_topics_nobody_can_look_at() -> None:
    unknown = state("gds.a.production", is_known=False, live=None, checks=(Check("exists", None, "?"),))
    said = about_topics([unknown], is_known=False)
    assert said == Headline("What runs is unknown: the cluster does not answer.", "bad")
