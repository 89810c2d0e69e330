"""The sentence at the head of a page says whether anything is wrong, and what first."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from gdsconsole.text.headline import Headline
from tests.topics.making import START, make_alert
from topics.alerting.headlines import FiringCounts, about_alert, about_alerts, about_rules
from topics.models import AlertRule

LATER = START + timedelta(minutes=3)
WORST = make_alert(save=False)


@pytest.mark.parametrize(
    ("firing", "pending", "said"),
    [
        (FiringCounts(0, 0, 0, None), 0, Headline("Nothing is firing. 8 rules evaluated.", "ok")),
        (FiringCounts(0, 0, 0, None), 2, Headline("Nothing is firing. 2 pending. 8 rules evaluated.", "ok")),
        (
            FiringCounts(1, 0, 1, WORST),
            0,
            Headline("1 alert firing. Not acknowledged: CPU high on prod-db-01, for 3 m.", "warn"),
        ),
        (
            FiringCounts(1, 1, 1, WORST),
            0,
            Headline(
                "1 alert firing, and it is critical. Not acknowledged: CPU high on prod-db-01, for 3 m.",
                "bad",
            ),
        ),
        (
            FiringCounts(4, 2, 3, WORST),
            1,
            Headline(
                "4 alerts firing, 2 critical. 3 are not acknowledged, "
                "the worst is CPU high on prod-db-01, for 3 m.",
                "bad",
            ),
        ),
        (
            FiringCounts(4, 0, 4, WORST),
            0,
            Headline(
                "4 alerts firing. None is acknowledged, the worst is CPU high on prod-db-01, for 3 m.", "warn"
            ),
        ),
        (FiringCounts(1, 0, 0, None), 0, Headline("1 alert firing. It is acknowledged.", "warn")),
        (
            FiringCounts(2, 1, 0, None),
            0,
            Headline("2 alerts firing, 1 critical. All are acknowledged.", "warn"),
        ),
    ],
)
def test_alerts(firing: FiringCounts, pending: int, said: Headline) -> None:
    assert about_alerts(firing, pending=pending, rules=8, now=LATER) == said


def test_a_clock_that_lags_makes_no_negative_age() -> None:
    said = about_alerts(FiringCounts(1, 0, 1, WORST), pending=0, rules=1, now=START - timedelta(minutes=1))
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
        ((0, 0, 0, 0), Headline("Nothing is evaluated: there is no rule.", "warn")),
        ((8, 0, 0, 7), Headline("8 rules evaluate 7 metrics. None is firing.")),
        ((1, 2, 1, 1), Headline("1 rule evaluates 1 metric; 2 disabled. 1 firing.", "warn")),
        ((3, 0, 2, 3), Headline("3 rules evaluate 3 metrics. 2 firing.", "warn")),
    ],
)
def test_rules(counts: tuple[int, int, int, int], said: Headline) -> None:
    names = ("enabled", "disabled", "firing", "metrics")
    assert about_rules(**dict(zip(names, counts, strict=True))) == said
