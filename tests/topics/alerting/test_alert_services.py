"""Measurements, acknowledgement, edited rules: the alert path beside the pipelines."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError

from tests.topics.making import START, make_alert_rule
from topics.alerting import services
from topics.alerting.services import Measurement, alerts
from topics.models import Alert, AlertEvent, AlertRule, AlertState

pytestmark = pytest.mark.django_db


@pytest.fixture
def rule() -> AlertRule:
    return make_alert_rule(name="Lag", source="lag", metric_name="consumer_lag", threshold=10_000)


def lag(value: float | None, second: float = 0, group: str = "gds-warehouse") -> Measurement:
    at = START + timedelta(seconds=second)
    return Measurement(source="lag", name="consumer_lag", labels={"group": group}, value=value, at=at)


def record(*samples: Measurement) -> list[Alert]:
    return services.record_measurements(samples, now=max(sample.at for sample in samples))


def make_user(name: str = "operator") -> User:
    return User.objects.create_user(name)


def test_a_measurement_fires_and_resolves(rule: AlertRule) -> None:
    assert record(lag(10_000)) == []
    (alert,) = record(lag(10_001, 5))
    assert (alert.state, alert.subject, alert.topic) == ("firing", "gds-warehouse", None)
    assert record(lag(20_000, 10)) == []
    (alert,) = record(lag(3, 15))
    assert alert.state == "resolved"
    assert list(AlertEvent.objects.values_list("state", "value")) == [("firing", 10_001), ("resolved", 3)]


def test_unknown_neither_fires_nor_resolves(rule: AlertRule) -> None:
    assert record(lag(None)) == []
    record(lag(50_000, 5))
    assert record(lag(None, 10)) == []
    assert Alert.objects.get().state == "firing"


def test_each_group_has_its_own_alert(rule: AlertRule) -> None:
    fired = record(lag(50_000), lag(5, group="gds-analytics"), lag(60_000, group="gds-alerting"))
    assert sorted(alert.subject for alert in fired) == ["gds-alerting", "gds-warehouse"]


def test_measurements_of_another_source_or_name_are_not_meant(rule: AlertRule) -> None:
    make_alert_rule(metric_name="consumer_lag", threshold=1)
    other = Measurement(source="broker", name="consumer_lag", labels={}, value=99_999.0, at=START)
    assert record(other) == []


def test_the_instance_matcher_is_the_group(rule: AlertRule) -> None:
    AlertRule.objects.update(instance="gds-a*")
    assert [alert.subject for alert in record(lag(1e6), lag(1e6, group="gds-alerting"))] == ["gds-alerting"]


def test_a_quiet_console_writes_nothing(rule: AlertRule, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(2):
        record(lag(5))


def test_an_open_alerts_newest_value_is_kept(rule: AlertRule) -> None:
    record(lag(50_000))
    record(lag(60_000, 5))
    alert = Alert.objects.get()
    assert (alert.value, alert.last_value, alert.last_sample_at) == (
        50_000,
        60_000,
        START + timedelta(seconds=5),
    )


def test_keep_firing_for_goes_on_between_calls(rule: AlertRule) -> None:
    AlertRule.objects.update(keep_firing_for_s=15)
    record(lag(50_000))
    assert record(lag(1, 5)) == []
    assert record(lag(1, 15)) == []
    (alert,) = record(lag(1, 20))
    assert alert.state == "resolved"


def test_two_samplers_at_once_open_one_alert(rule: AlertRule, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both judge before either writes: the second meets the first's row, and judges again."""
    real, raced = alerts.open_alerts, []

    def read_then_race(*sources: str) -> Any:
        found = real(*sources)
        if not raced:
            raced.append(1)
            record(lag(50_000))
        return found

    monkeypatch.setattr(alerts, "open_alerts", read_then_race)
    assert record(lag(50_000)) == []
    assert Alert.objects.count() == 1
    assert AlertEvent.objects.count() == 1


def test_the_database_holds_one_open_alert_per_rule_and_labels(rule: AlertRule) -> None:
    record(lag(50_000))
    another = Alert.objects.get()
    another.pk = None
    with pytest.raises(IntegrityError):
        another.save()


def test_resolved_alerts_of_a_series_may_be_many(rule: AlertRule) -> None:
    for n in range(3):
        record(lag(50_000, 10 * n))
        record(lag(1, 10 * n + 5))
    assert Alert.objects.filter(state=AlertState.RESOLVED).count() == 3


def test_a_deleted_groups_alert_is_resolved_with_the_reason(rule: AlertRule) -> None:
    record(lag(50_000))
    labels = {"group": "gds-warehouse"}
    (alert,) = services.resolve_series(source="lag", labels=labels, reason="the group is gone", now=START)
    assert (alert.state, alert.resolved_reason) == ("resolved", "the group is gone")
    assert services.resolve_series(source="lag", labels=labels, reason="again", now=START) == []


def test_acknowledging_is_recorded_once_with_its_actor(rule: AlertRule) -> None:
    record(lag(50_000))
    alert, operator = Alert.objects.get(), make_user()
    event = services.acknowledge_alert(alert=alert, actor=operator, now=START, note="on it")
    assert (event.state, event.actor, event.reason) == ("acknowledged", operator, "on it")
    assert (alert.acknowledged_by, alert.state) == (operator, "firing")
    with pytest.raises(services.NotAcknowledgeable, match="was acknowledged by operator at 10:30:00 UTC"):
        services.acknowledge_alert(alert=alert, actor=make_user("other"), now=START)
    assert AlertEvent.objects.filter(state="acknowledged").count() == 1


def test_only_an_open_alert_can_be_acknowledged(rule: AlertRule) -> None:
    record(lag(50_000))
    record(lag(1, 5))
    with pytest.raises(services.NotAcknowledgeable, match="is resolved"):
        services.acknowledge_alert(alert=Alert.objects.get(), actor=make_user(), now=START)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        ({"enabled": False}, "the rule was disabled"),
        ({"instance": "gds-a*"}, "the rule no longer covers it"),
        ({"metric_name": "other"}, "the rule no longer covers it"),
        ({"threshold": 99_999.0}, None),
        ({"name": "Renamed"}, None),
    ],
)
def test_an_edit_resolves_what_the_rule_no_longer_covers(
    rule: AlertRule, edit: dict[str, Any], reason: str | None
) -> None:
    record(lag(50_000))
    for name, value in edit.items():
        setattr(rule, name, value)
    resolved = services.save_rule(rule=rule, actor="tester", now=START)
    assert [alert.resolved_reason for alert in resolved] == ([reason] if reason else [])
    assert AlertEvent.objects.filter(state="resolved").count() == (1 if reason else 0)


def test_a_pending_alert_of_a_disabled_rule_leaves_nothing(rule: AlertRule) -> None:
    AlertRule.objects.update(for_s=60)
    record(lag(50_000))
    rule.refresh_from_db()
    rule.enabled = False
    assert services.save_rule(rule=rule, actor="tester", now=START) == []
    assert not Alert.objects.exists()


def test_changed_alerts_are_told_to_open_pages_after_commit(
    rule: AlertRule, django_capture_on_commit_callbacks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr("gdsconsole.live.publish.publish", lambda *frame: seen.append(frame))
    with django_capture_on_commit_callbacks(execute=True):
        record(lag(50_000))
    assert [(kind, data["state"]) for kind, _, data in seen] == [("alert.changed", "firing")]


def test_worst_first(rule: AlertRule) -> None:
    critical = make_alert_rule(
        name="Lag terrible", source="lag", metric_name="consumer_lag", threshold=1e6, severity="critical"
    )
    record(lag(20_000, group="a"))
    record(lag(20_000, 1, group="b"), lag(2e6, 1, group="c"))
    record(lag(0, 2, group="b"))
    order = [
        (alert.rule_id == critical.pk, alert.subject, alert.state) for alert in Alert.objects.worst_first()
    ]
    assert order == [
        (True, "c", "firing"),
        (False, "a", "firing"),
        (False, "c", "firing"),
        (False, "b", "resolved"),
    ]
