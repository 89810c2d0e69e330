from __future__ import annotations

import io
import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from tests.topics.making import START, make_alert_rule
from topics.alerting import services
from topics.alerting.services import Measurement
from topics.models import Alert

pytestmark = pytest.mark.django_db


@pytest.fixture
def alert() -> Alert:
    make_alert_rule(name="Lag", source="lag", metric_name="consumer_lag", threshold=10)
    measure(11)
    return Alert.objects.get()


def measure(value: float, second: float = 0, group: str = "gds-warehouse") -> None:
    at = START + timedelta(seconds=second)
    sample = Measurement("lag", "consumer_lag", {"group": group}, value, at)
    services.record_measurements([sample], now=at)


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("alerts", *arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def test_list_as_json(alert: Alert) -> None:
    (row,) = json.loads(run("list", "--json"))
    assert row == {
        "id": alert.pk,
        "rule": "Lag",
        "severity": "warning",
        "state": "firing",
        "subject": "gds-warehouse",
        "labels": {"group": "gds-warehouse"},
        "metric_name": "consumer_lag",
        "operator": ">",
        "threshold": 10.0,
        "value": 11.0,
        "last_value": 11.0,
        "started_at": "2026-01-15T10:30:00+00:00",
        "fired_at": "2026-01-15T10:30:00+00:00",
        "resolved_at": None,
        "acknowledged_by": None,
        "acknowledged_at": None,
        "summary": "consumer_lag 11 > 10 on gds-warehouse",
        "record": None,
    }


def test_list_by_state(alert: Alert) -> None:
    measure(99, 1, "gds-alerting")
    measure(0, 2)
    assert [row["subject"] for row in json.loads(run("list", "--state", "firing", "--json"))] == [
        "gds-alerting"
    ]
    assert [row["subject"] for row in json.loads(run("list", "--state", "resolved", "--json"))] == [
        "gds-warehouse"
    ]
    assert [row["state"] for row in json.loads(run("list", "--json"))] == ["firing", "resolved"]


def test_list_for_people(alert: Alert) -> None:
    assert "firing    warning   2026-01-15 10:30:00Z  consumer_lag 11 > 10 on gds-warehouse  (Lag)" in run(
        "list"
    )


def test_ack_says_who(alert: Alert) -> None:
    User.objects.create_user("operator")
    assert run("ack", str(alert.pk), "--user", "operator") == (
        f"operator has alert {alert.pk}: consumer_lag 11 > 10 on gds-warehouse\n"
    )
    with pytest.raises(CommandError, match="was acknowledged by operator"):
        run("ack", str(alert.pk), "--user", "operator")


def test_ack_without_a_user_is_the_admins(alert: Alert) -> None:
    with pytest.raises(CommandError, match="say who"):
        run("ack", str(alert.pk))
    User.objects.create_user("admin")
    assert json.loads(run("ack", str(alert.pk), "--json"))["acknowledged_by"] == "admin"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ack", "404"), "there is no alert 404"),
        (("ack", "x"), "invalid int value"),
        (("list", "--state", "x"), "x"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        run(*arguments)


def test_ack_by_nobody_known(alert: Alert) -> None:
    with pytest.raises(CommandError, match="no user 'ghost'"):
        run("ack", str(alert.pk), "--user", "ghost")
