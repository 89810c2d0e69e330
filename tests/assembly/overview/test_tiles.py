"""The five figures: their values, notes and tones; unknown stays unknown."""

from __future__ import annotations

import pytest

from gdsconsole.assembly.overview.model import DeadLetters, Topic
from gdsconsole.assembly.overview.tiles import Sparks, tiles
from tests.assembly.overview.making import AT, make_alerts, make_brokers, make_group, make_lag, make_readings


def tile(name, sparks=None, **changes):
    found = {tile.name: tile for tile in tiles(make_readings(**changes), sparks or Sparks())}
    assert list(found) == ["messages", "alerts", "lag", "letters", "brokers"]
    return found[name]


@pytest.mark.parametrize(
    ("name", "changes", "value", "note", "tone"),
    [
        ("messages", {}, 50.0, "into gds.metrics.production", ""),
        ("messages", {"metrics": [Topic("a", 2.0, 5, AT), Topic("b", 3.0, 5, AT)]}, 5.0, "into 2 topics", ""),
        # One of two is known: the sum is what is known.
        ("messages", {"metrics": [Topic("a", 2.0, 5, AT), Topic("b")]}, 2.0, "into 2 topics", ""),
        ("messages", {"metrics": [Topic("a")]}, None, "not sampled lately", ""),
        ("messages", {"metrics": [Topic("a", None, 5, AT)]}, None, "into a", ""),
        ("alerts", {}, 0, "nothing fires", ""),
        ("alerts", {"alerts": make_alerts(warning=2)}, 2, "none taken", "warn"),
        ("alerts", {"alerts": make_alerts(warning=2, acknowledged=2)}, 2, "all taken", "warn"),
        (
            "alerts",
            {"alerts": make_alerts(critical=1, warning=2, acknowledged=1)},
            3,
            "1 critical · 2 not taken",
            "bad",
        ),
        ("lag", {}, 0, "in 2 groups", ""),
        ("lag", {"lag": None}, None, "not sampled lately", ""),
        (
            "lag",
            {"lag": make_lag(make_group("b", status="slow", total_lag=2_500), make_group("a", total_lag=9))},
            2_509,
            "b 2.5 k",
            "warn",
        ),
        ("lag", {"lag": make_lag(make_group(status="stalled", total_lag=3))}, 3, "gds-alerting 3", "bad"),
        (
            "lag",
            {"lag": make_lag(make_group(status="unknown", total_lag=None, unknown_partitions=12))},
            None,
            "12 partitions unknown",
            "",
        ),
        (
            "lag",
            {
                "lag": make_lag(
                    make_group(total_lag=40), make_group("b", total_lag=None, unknown_partitions=1)
                )
            },
            40,
            "1 partition unknown",
            "",
        ),
        ("letters", {}, 0, "none waits for a decision", ""),
        ("letters", {"dead_letters": DeadLetters(37, 2)}, 37, "from 2 causes", "warn"),
        ("brokers", {}, 3, "fully replicated", ""),
        ("brokers", {"brokers": None}, None, "not sampled lately", ""),
        ("brokers", {"brokers": make_brokers(live=None)}, None, "the cluster does not answer", "bad"),
        ("brokers", {"brokers": make_brokers(live=2, under_replicated=31)}, 2, "31 under-replicated", "bad"),
        ("brokers", {"brokers": make_brokers(under_replicated=2)}, 3, "2 under-replicated", "warn"),
        ("brokers", {"brokers": make_brokers(leaderless=2)}, 3, "2 partitions without a leader", "bad"),
        ("brokers", {"brokers": make_brokers(under_replicated=None)}, 3, "replication unknown", ""),
    ],
)
def test_a_tile(name, changes, value, note, tone):
    found = tile(name, **changes)
    assert (found.value, found.note, found.tone) == (value, note, tone)


def test_what_was_sampled_says_when():
    assert tile("messages").at == tile("lag").at == tile("brokers").at == AT
    assert tile("messages", metrics=[Topic("a", 1.0, 1, AT), Topic("b", 1.0, 1, AT - 4)]).at == AT - 4
    assert tile("messages", metrics=[Topic("a")]).at is None
    assert tile("alerts").at is tile("letters").at is None


def test_one_topic_is_live_in_place_and_a_sum_is_not():
    assert tile("messages").live == "topic.rates:gds.metrics.production:rate_in"
    assert tile("messages", metrics=[Topic("a"), Topic("b")]).live == ""


@pytest.mark.parametrize(
    ("brokers", "pips", "of"),
    [
        (make_brokers(), [True, True, True], 3),
        (make_brokers(live=1), [True, False, False], 3),
        (make_brokers(live=2, expected=None), [True, True], 2),
        (make_brokers(live=None), [], None),
        (None, [], None),
    ],
)
def test_brokers_are_drawn_one_by_one(brokers, pips, of):
    found = tile("brokers", brokers=brokers)
    assert (list(found.pips), found.of) == (pips, of)


def test_each_sparkline_goes_with_its_figure():
    sparks = Sparks(messages=[1.0], alerts=[2.0], lag=[3.0, None], dead_letters=[4.0])
    drawn = {name: tile(name, sparks).spark for name in ("messages", "alerts", "lag", "letters", "brokers")}
    assert drawn == {
        "messages": [1.0], "alerts": [2.0], "lag": [3.0, None], "letters": [4.0], "brokers": (),
    }  # fmt: skip
