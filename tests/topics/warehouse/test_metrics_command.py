"""`manage.py metrics query`: the warehouse as users and scripts read it."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.utils import timezone

from tests.commands.running import manage
from tests.topics.making import Feed, make_sample
from topics.management.commands.metrics import _time_told
from topics.models import MetricPoint
from topics.warehouse.step import WarehouseStep

pytestmark = pytest.mark.django_db(transaction=True)
GROUP = "gds-warehouse"


@pytest.fixture
def points() -> None:
    """prod-db-01 to 03 with CPU an hour, a minute and no time ago, and one disk."""
    step, feed, now = WarehouseStep(group=GROUP), Feed(group=GROUP), timezone.now()
    step.assigned([feed.partition])
    samples = [
        make_sample(10.0, timestamp=now - timedelta(hours=1), instance_id="prod-db-01"),
        make_sample(20.0, timestamp=now - timedelta(minutes=1), instance_id="prod-db-02"),
        make_sample(30.5, timestamp=now, instance_id="PROD-db-03", tags={"tenant_id": "acme"}),
        make_sample(40.0, timestamp=now - timedelta(days=3), metric_name="disk_used_percent"),
    ]
    step.handle(feed.batch(*samples))


def run(*arguments: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("metrics", "query", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def values(*arguments: str) -> list[float]:
    return [row["value"] for row in json.loads(run(*arguments, "--json")[0])]


def test_rows_are_the_metrics_and_where_they_stood(points: None) -> None:
    row = json.loads(run("--instance", "PROD-*", "--json")[0])[0]
    point = MetricPoint.objects.get(value=30.5)
    assert row == {
        "timestamp": point.at.isoformat(),
        "database_type": "postgresql",
        "instance_id": "PROD-db-03",
        "metric_name": "cpu_usage_percent",
        "value": 30.5,
        "tags": {"tenant_id": "acme"},
        "environment": "production",
        "tenant_id": "acme",
        "topic": "gds.metrics.production",
        "partition": 0,
        "offset": 2,
        "stored_at": point.stored_at.isoformat(),
    }


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], [30.5, 20.0, 10.0, 40.0]),
        (["--instance", "prod-db-01"], [10.0, 40.0]),
        (["--instance", "prod-*"], [20.0, 10.0, 40.0]),
        (["--metric", "cpu_usage_percent", "--since", "2h"], [30.5, 20.0, 10.0]),
        (["--metric", "disk*"], [40.0]),
        (["--since", "90s"], [30.5, 20.0]),
        (["--since", "1w"], [30.5, 20.0, 10.0, 40.0]),
        (["--instance", "nothing"], []),
    ],
)
def test_filters(points: None, arguments: list[str], expected: list[float]) -> None:
    assert values(*arguments) == expected
    assert json.loads(run(*arguments, "--count", "--json")[0]) == {"count": len(expected)}
    assert run(*arguments, "--count")[0] == f"{len(expected)}\n"


def test_lines_for_people(points: None) -> None:
    out, err = run("--since", "30s")
    at, value, *rest = out.split()
    assert at.startswith("20")
    assert [value, *rest] == ["30.5", "cpu_usage_percent", "PROD-db-03", "postgresql", "production"]
    assert err == "1 points\n"


def test_an_empty_warehouse_is_an_empty_array() -> None:
    assert json.loads(run("--json")[0]) == []


def test_a_time_far_from_when_it_was_stored_is_told() -> None:
    row = {"timestamp": "1970-01-01T00:00:00+00:00", "stored_at": "2026-01-15T10:30:00+00:00"}
    assert _time_told(row) == "stored 20,468 d later"
    assert _time_told({**row, "timestamp": "2026-01-15T10:29:00+00:00"}) == ""


def test_a_database_that_is_away_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: Any) -> int:
        raise OperationalError("connection refused")

    monkeypatch.setattr("topics.models.metrics.MetricPointQuerySet.count", away)
    with pytest.raises(CommandError, match=r"^the database \S+ is down: connection refused$"):
        run("--count")


@pytest.mark.parametrize("text", ["tomorrow", "15", "-5m", "0s", "1y", "1e3s", "", "9999999999d", "٣d"])
def test_a_wrong_duration_is_wrong_usage_naming_flag_and_value(text: str) -> None:
    ended = manage("metrics", "query", f"--since={text}")
    assert ended.code == 2
    assert f"argument --since: a duration such as 90s, 15m, 2h or 7d, not {text!r}" in ended.err
    assert "Traceback" not in ended.err


def test_help_has_an_example() -> None:
    ended = manage("metrics", "query", "--help")
    assert ended.code == 0
    assert "manage.py metrics query --instance 'prod-db-*' --metric cpu_usage_percent" in ended.out
