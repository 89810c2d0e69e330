"""The one sentence of each page, for the cases a page test would be too slow for."""

from __future__ import annotations

from typing import Any

import pytest

from lag.headlines import CatchUp, about_brokers, about_group, about_groups, catch_up
from lag.models import BrokerSample, GroupSample
from tests.factories import broker_figures


def sample(group: str = "g", **changes: Any) -> GroupSample:
    fields: dict[str, Any] = {
        "status": "ok", "state": "Stable", "total_lag": 0, "unknown_partitions": 0, "lost": 0, "age_s": 0.0,
        "consumed_per_s": 10.0, "produced_per_s": 10.0,
    }  # fmt: skip
    return GroupSample(group=group, **fields | changes)


UNREAD = {"status": "unknown", "total_lag": None, "unknown_partitions": None, "reason": "no answer"}


@pytest.mark.parametrize(
    ("groups", "text", "tone"),
    [
        ([], "No consumer group has been seen yet.", ""),
        ([sample("a")], "a has read everything.", "ok"),
        ([sample("a", total_lag=1, age_s=2.0)], "a keeps up, 1 message (2 s) behind.", "ok"),
        ([sample(name) for name in "abc"], "All 3 groups have read everything.", "ok"),
        ([sample("a"), sample("b")], "Both groups have read everything.", "ok"),
        (
            [sample("a", total_lag=3, age_s=None), sample("b")],
            "Both groups keep up; furthest behind is a by 3 messages.",
            "ok",
        ),
        ([sample("a", status="empty"), sample("b")], "1 group has read everything; 1 without members.", "ok"),
        ([sample("a", status="empty")], "No group has members; all has been read.", "ok"),
        ([sample("a", **UNREAD)], "The lag of a is unknown.", "bad"),
        ([sample("a", **UNREAD), sample("b", **UNREAD)], "The lag of both groups is unknown.", "bad"),
        (
            [sample("a", status="unknown", total_lag=None, unknown_partitions=1, reason="a-0: no commit")],
            "The lag of a is unknown: a-0: no commit.",
            "bad",
        ),
        ([sample("a", **UNREAD), sample("b")], "a is unknown.", "warn"),
        (
            [sample("a", status="stalled", total_lag=5, age_s=9.0), sample("b", status="slow", total_lag=4)],
            "a is stalled, 5 messages (9 s) behind. b is behind too.",
            "bad",
        ),
        (
            [sample("a", status="slow", total_lag=5_000, eta_s=7_200.0, unknown_partitions=2)],
            "a loses ground, at least 5 k messages (0 ms) behind; it catches up in 2 h.",
            "warn",
        ),
        (
            [sample("a", status="rewound", total_lag=5, age_s=1.0, consumed_per_s=None)],
            "a went back, 5 messages (1 s) behind.",
            "warn",
        ),
        (
            [sample("a", lost=7), sample("b", lost=1)],
            "Retention deleted 8 messages, unread by 2 groups.",
            "bad",
        ),
    ],
)
def test_of_all_groups(groups: list[GroupSample], text: str, tone: str) -> None:
    said = about_groups(groups)
    assert (said.text, said.tone) == (text, tone)


@pytest.mark.parametrize(
    ("group", "text", "tone"),
    [
        (sample(), "It keeps up and has read everything.", "ok"),
        (sample(status="empty"), "It has no members and has read everything.", ""),
        (
            sample(status="unknown", total_lag=9, age_s=None),
            "Too little was seen of it for a verdict, 9 messages behind.",
            "warn",
        ),
        (
            sample(status="stopped", total_lag=9, age_s=60.0, lost=3),
            "It has stopped, 9 messages (1 m) behind. Retention deleted 3 messages that it never read.",
            "bad",
        ),
    ],
)
def test_of_one_group(group: GroupSample, text: str, tone: str) -> None:
    said = about_group(group)
    assert (said.text, said.tone) == (text, tone)


@pytest.mark.parametrize(
    ("lag", "eta_s", "consumed", "status", "text"),
    [
        (None, None, 1.0, "unknown", "unknown"),
        (0, None, None, "empty", "caught up"),
        (5, 61.0, 1.0, "slow", "in 1 m 1 s"),
        (5, None, 1.0, "ok", "keeps up"),
        (5, None, 1.0, "stalled", "never at this rate"),
        (5, None, None, "stopped", "unknown"),
        (5, None, 1.0, "unknown", "unknown"),
        (5, None, 1.0, "rewound", "unknown"),
    ],
)
def test_whether_it_catches_up(
    lag: int | None, eta_s: float | None, consumed: float | None, status: str, text: str
) -> None:
    found = catch_up(lag=lag, eta_s=eta_s, consumed=consumed, produced=2.0, status=status)
    assert isinstance(found, CatchUp)
    assert found.text == text


def test_of_one_broker_and_of_a_cluster_half_known() -> None:
    fields: dict[str, Any] = {"expected": 1, "under_min_isr": 0, "leaderless": 0, "partitions": 3}
    alone = BrokerSample(live=1, under_replicated=0, brokers=[broker_figures(1)], **fields)
    assert about_brokers(alone).text.startswith("The one broker is up, every partition has all its replicas")
    unsure = BrokerSample(live=1, under_replicated=None, brokers=[], **fields)
    assert about_brokers(unsure).tone == "warn"
    assert "whether every partition has its replicas is unknown" in about_brokers(unsure).text
