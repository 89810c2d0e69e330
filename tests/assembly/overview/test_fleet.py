"""The newest metrics as a table."""

from __future__ import annotations

import pytest

from gdsconsole.assembly.overview.fleet import COLUMNS, ROWS, fleet, instances

NOW = 1_000.0


def newest(*metrics, age_s: float = 1.0):
    """(instance, metric, value) as `metric.newest` keeps them."""
    return {
        f"{instance}/{metric}": {
            "instance_id": instance,
            "database_type": "postgresql",
            "environment": "production",
            "metric_name": metric,
            "value": value,
            "published_at": NOW - age_s,
        }
        for instance, metric, value in metrics
    }


def table(found):
    return [(row.instance, [cell.value for cell in row.cells]) for row in found.rows]


def test_a_row_an_instance_a_column_a_metric():
    cpu, behind = "cpu_usage_percent", "replication_lag_seconds"
    found = fleet(newest(("b", cpu, 40.0), ("a", cpu, 50.0), ("a", behind, 2.0)), alerting={}, now=NOW)
    assert [(column.label, column.symbol, column.style) for column in found.columns] == [
        ("cpu usage", "%", "short"),
        ("replication lag", "", "duration"),
    ]
    # What an instance doesn't send is not zero.
    assert table(found) == [("a", [50.0, 2.0]), ("b", [40.0, None])]
    assert found.rows[0].cells[0].live == "metric.newest:a/cpu_usage_percent:value"
    assert (found.instances, found.more) == (2, 0)


def test_watched_metrics_come_first_in_the_order_of_their_rules():
    sent = newest(*[("a", name, 1.0) for name in ("aaa", "disk", "cpu")], ("b", "aaa", 1.0))
    found = fleet(sent, alerting={}, watched=["cpu", "disk", "cpu", "never_sent"], now=NOW)
    assert [column.metric for column in found.columns] == ["cpu", "disk", "aaa"]


def test_a_rare_metric_that_an_alert_fires_for_has_its_column():
    common = [("a", f"m{n}", 1.0) for n in range(COLUMNS)] + [("b", f"m{n}", 1.0) for n in range(COLUMNS)]
    sent = newest(*common, ("b", "rare", 9.0))
    assert "rare" not in [column.metric for column in fleet(sent, alerting={}, now=NOW).columns]
    found = fleet(sent, alerting={("b", "rare"): "bad"}, now=NOW)
    assert [column.metric for column in found.columns][-1] == "rare"
    assert len(found.columns) == COLUMNS
    assert table(found)[0][0] == "b"


@pytest.mark.parametrize(
    ("alerting", "order", "tones"),
    [
        ({}, ["a", "b", "c"], ["", "", ""]),
        ({("c", "m"): "warn"}, ["c", "a", "b"], ["warn", "", ""]),
        ({("c", "m"): "warn", ("b", "m"): "bad"}, ["b", "c", "a"], ["bad", "warn", ""]),
        ({("b", "m"): "info", ("b", "n"): "bad"}, ["b", "a", "c"], ["bad", "", ""]),
        # An alert for an instance that sends nothing any more has no row to mark.
        ({("gone", "m"): "bad"}, ["a", "b", "c"], ["", "", ""]),
    ],
)
def test_instances_with_alerts_come_first(alerting, order, tones):
    sent = newest(*[(name, "m", 1.0) for name in "abc"], ("b", "n", 1.0))
    found = fleet(sent, alerting=alerting, now=NOW)
    assert [row.instance for row in found.rows] == order
    assert [row.tone for row in found.rows] == tones


def test_what_is_older_than_a_minute_is_not_shown():
    sent = newest(("old", "m", 1.0), age_s=61) | newest(("new", "m", 1.0), age_s=59)
    assert table(fleet(sent, alerting={}, now=NOW)) == [("new", [1.0])]
    assert instances(sent, now=NOW) == 1
    assert fleet({}, alerting={}, now=NOW).rows == []


def test_a_large_fleet_is_cut_and_counted():
    sent = newest(*[(f"db-{n:03}", "m", 1.0) for n in range(500)])
    found = fleet(sent, alerting={("db-499", "m"): "warn"}, now=NOW)
    assert len(found.rows) == ROWS
    assert found.rows[0].instance == "db-499"
    assert (found.instances, found.more) == (500, 500 - ROWS)
