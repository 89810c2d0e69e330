"""The sentence at the head of a page says whether anything is wrong, and what first."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gdsconsole.kafka.topic_admin import LiveTopic
from tests.topics.making import START, make_alert
from topics.checklist import Check
from topics.models import AlertRule, TopicDefinition
from topics.plan import Drift, Verdict
from topics.sentences import Firing, Sentence, about_alert, about_alerts, about_rules, about_topics
from topics.services import TopicState

LATER = START + timedelta(minutes=3)
WORST = make_alert(save=False)


@pytest.mark.parametrize(
    ("firing", "pending", "said"),
    [
        (Firing(0, 0, 0, None), 0, Sentence("Nothing fires. 8 rules on watch.", "ok")),
        (Firing(0, 0, 0, None), 2, Sentence("Nothing fires. 2 pending. 8 rules on watch.", "ok")),
        (
            Firing(1, 0, 1, WORST),
            0,
            Sentence("1 alert fires. Nobody has it: CPU high on prod-db-01, for 3 m.", "warn"),
        ),
        (
            Firing(1, 1, 1, WORST),
            0,
            Sentence(
                "1 alert fires, and it is critical. Nobody has it: CPU high on prod-db-01, for 3 m.", "bad"
            ),
        ),
        (
            Firing(4, 2, 3, WORST),
            1,
            Sentence(
                "4 alerts fire, 2 critical. Nobody has 3 of them, "
                "the worst is CPU high on prod-db-01, for 3 m.",
                "bad",
            ),
        ),
        (
            Firing(4, 0, 4, WORST),
            0,
            Sentence(
                "4 alerts fire. Nobody has any of them, the worst is CPU high on prod-db-01, for 3 m.", "warn"
            ),
        ),
        (Firing(1, 0, 0, None), 0, Sentence("1 alert fires. Somebody has it.", "warn")),
        (
            Firing(2, 1, 0, None),
            0,
            Sentence("2 alerts fire, 1 critical. Somebody has each of them.", "warn"),
        ),
    ],
)
def test_alerts(firing: Firing, pending: int, said: Sentence) -> None:
    assert about_alerts(firing, pending=pending, rules=8, now=LATER) == said


def test_a_clock_that_lags_makes_no_negative_age() -> None:
    said = about_alerts(Firing(1, 0, 1, WORST), pending=0, rules=1, now=START - timedelta(minutes=1))
    assert said.text.endswith("for 0 ms.")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "cpu_usage_percent > 80 holds for 3 m."),
        ({"state": "pending"}, "cpu_usage_percent > 80 has held for 3 m; it fires when that lasts 5 m."),
        (
            {"state": "resolved", "resolved_at": START + timedelta(seconds=42)},
            "cpu_usage_percent > 80 held for 42 s and is over.",
        ),
        (
            {"state": "resolved", "resolved_at": LATER, "resolved_reason": "the rule was disabled"},
            "cpu_usage_percent > 80 held for 3 m and is over: the rule was disabled.",
        ),
    ],
)
def test_one_alert(changes: dict[str, Any], said: str) -> None:
    rule = AlertRule(name="CPU high", metric_name="cpu_usage_percent", for_s=300)
    assert about_alert(make_alert(rule, save=False, **changes), now=LATER) == said


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((0, 0, 0, 0), Sentence("Nothing is watched: there is no rule.", "warn")),
        ((8, 0, 0, 7), Sentence("8 rules watch 7 metrics. None fires now.")),
        ((1, 2, 1, 1), Sentence("1 rule watches 1 metric; 2 disabled. 1 fires now.", "warn")),
        ((3, 0, 2, 3), Sentence("3 rules watch 3 metrics. 2 fire now.", "warn")),
    ],
)
def test_rules(counts: tuple[int, int, int, int], said: Sentence) -> None:
    names = ("enabled", "disabled", "firing", "metrics")
    assert about_rules(**dict(zip(names, counts, strict=True))) == said


DRIFT = Drift("gds.a.production", "retention.ms", "1", "1", "2", Verdict.CHANGED_ON_CLUSTER)
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
        ([], Sentence("No topic is declared.", "warn")),
        ([OK], Sentence("The one declared topic runs as declared and passes every check.", "ok")),
        ([OK, OTHER], Sentence("All 2 topics run as declared and pass every check.", "ok")),
        ([OK, MISSING], Sentence("gds.c.production is not on the cluster.", "bad")),
        ([DRIFTING, OTHER], Sentence("gds.a.production differs from what was declared.", "warn")),
        (
            [DRIFTING, FAILING, MISSING],
            Sentence(
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
            Sentence("2 topics fail replication.factor >= 3 and x and 1 more.", "warn"),
        ),
    ],
)
def test_topics(states: list[TopicState], said: Sentence) -> None:
    assert about_topics(states, is_known=True) == said


def test_topics_nobody_can_look_at() -> None:
    unknown = state("gds.a.production", is_known=False, live=None, checks=(Check("exists", None, "?"),))
    said = about_topics([unknown], is_known=False)
    assert said == Sentence("What runs is unknown: the cluster does not answer.", "bad")
