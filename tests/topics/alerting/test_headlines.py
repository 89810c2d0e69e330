"""The sentence at the head of a page says whether anything is wrong, and what first."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from gdsconsole.text.headline import Headline
from tests.topics.making import START, make_alert
from topics.alerting.headlines import Firing, about_alert, about_alerts, about_rules
from topics.models import AlertRule

LATER = START + timedelta(minutes=3)
WORST = make_alert(save=False)


@pytest.mark.parametrize(
    ("firing", "pending", "said"),
    [
        (Firing(0, 0, 0, None), 0, Headline("Nothing fires. 8 rules on watch.", "ok")),
        (Firing(0, 0, 0, None), 2, Headline("Nothing fires. 2 pending. 8 rules on watch.", "ok")),
        (
            Firing(1, 0, 1, WORST),
            0,
            Headline("1 alert fires. Nobody has it: CPU high on prod-db-01, for 3 m.", "warn"),
        ),
        (
            Firing(1, 1, 1, WORST),
            0,
            Headline(
                "1 alert fires, and it is critical. Nobody has it: CPU high on prod-db-01, for 3 m.", "bad"
            ),
        ),
        (
            Firing(4, 2, 3, WORST),
            1,
            Headline(
                "4 alerts fire, 2 critical. Nobody has 3 of them, "
                "the worst is CPU high on prod-db-01, for 3 m.",
                "bad",
            ),
        ),
        (
            Firing(4, 0, 4, WORST),
            0,
            Headline(
                "4 alerts fire. Nobody has any of them, the worst is CPU high on prod-db-01, for 3 m.", "warn"
            ),
        ),
        (Firing(1, 0, 0, None), 0, Headline("1 alert fires. Somebody has it.", "warn")),
        (
            Firing(2, 1, 0, None),
            0,
            Headline("2 alerts fire, 1 critical. Somebody has each of them.", "warn"),
        ),
    ],
)
def test_alerts(firing: Firing, pending: int, said: Headline) -> None:
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
        ((0, 0, 0, 0), Headline("Nothing is watched: there is no rule.", "warn")),
        ((8, 0, 0, 7), Headline("8 rules watch 7 metrics. None fires now.")),
        ((1, 2, 1, 1), Headline("1 rule watches 1 metric; 2 disabled. 1 fires now.", "warn")),
        ((3, 0, 2, 3), Headline("3 rules watch 3 metrics. 2 fire now.", "warn")),
    ],
)
def test_rules(counts: tuple[int, int, int, int], said: Headline) -> None:
    names = ("enabled", "disabled", "firing", "metrics")
    assert about_rules(**dict(zip(names, counts, strict=True))) == said
