"""The alerting step against a real database: what opens, fires and resolves, and with what."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from tests.topics.alerting.step.driving import Clock, events, send
from tests.topics.making import START, Feed, MemoryProducer, make_alert_rule, make_sample
from topics.alerting import step as alerting_step
from topics.alerting.services import save_rule
from topics.alerting.step import RulesStep
from topics.models import Alert, AlertEvent, AlertRule

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_calm_batch_asks_the_database_nothing(
    step: RulesStep, feed: Feed, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(0):
        assert send(step, feed, *[make_sample(40.0)] * 100) is False
    assert feed.stored_offset() == 0


def test_a_breach_fires_once_with_event_coordinates_and_progress(
    step: RulesStep, feed: Feed, producer: MemoryProducer, published: list[Any]
) -> None:
    assert send(step, feed, make_sample(40.0), make_sample(85.5, 1), make_sample(91.0, 2))
    alert = Alert.objects.get()
    assert (alert.state, alert.value, alert.last_value) == ("firing", 85.5, 91.0)
    assert (alert.topic, alert.partition, alert.offset) == (feed.partition.topic, 0, 1)
    assert alert.labels == {
        "database_type": "postgresql",
        "instance_id": "prod-db-01",
        "environment": "production",
    }
    assert alert.summary == "cpu_usage_percent 85.5 > 80 on prod-db-01"
    assert events() == ["firing"]
    assert step.written == 1
    assert feed.stored_offset() == 3
    assert [json.loads(value)["state"] for _, value, _, _ in producer.sent] == ["firing"]
    frame = next(data for kind, _, data in published if kind == "alert.changed")
    assert (frame["state"], frame["rule"], frame["threshold"]) == ("firing", "CPU high", 80.0)


def test_staying_bad_makes_no_second_alert_and_no_transaction(
    step: RulesStep, feed: Feed, django_assert_num_queries: Any
) -> None:
    send(step, feed, make_sample(85.5))
    with django_assert_num_queries(0):
        assert send(step, feed, make_sample(86.0, 1), make_sample(87.0, 2)) is False
    assert Alert.objects.count() == 1


def test_a_good_sample_resolves_it(step: RulesStep, feed: Feed) -> None:
    send(step, feed, make_sample(85.5))
    send(step, feed, make_sample(20.0, 60))
    alert = Alert.objects.get()
    assert (alert.state, alert.resolved_at) == ("resolved", START + timedelta(seconds=60))
    assert events() == ["firing", "resolved"]
    send(step, feed, make_sample(90.0, 61))
    assert Alert.objects.count() == 2


def test_firing_and_resolving_within_a_batch_leave_both_alerts(step: RulesStep, feed: Feed) -> None:
    send(step, feed, make_sample(90, 0), make_sample(10, 1), make_sample(91, 2))
    assert list(Alert.objects.order_by("pk").values_list("state", "value")) == [
        ("resolved", 90),
        ("firing", 91),
    ]
    assert events() == ["firing", "resolved", "firing"]


def test_an_open_alert_closes_and_the_next_opens_in_one_batch(step: RulesStep, feed: Feed) -> None:
    send(step, feed, make_sample(90, 0))
    send(step, feed, make_sample(10, 1), make_sample(91, 2))
    assert list(Alert.objects.order_by("pk").values_list("state", "value")) == [
        ("resolved", 90),
        ("firing", 91),
    ]


def test_for_goes_through_pending(step: RulesStep, feed: Feed, rule: AlertRule, clock: Clock) -> None:
    AlertRule.objects.filter(pk=rule.pk).update(for_s=30)
    step.tick(clock.advance(1))
    send(step, feed, make_sample(90, 0))
    assert Alert.objects.get().state == "pending"
    assert events() == []
    send(step, feed, make_sample(95, 30))
    alert = Alert.objects.get()
    assert (alert.state, alert.value, alert.offset) == ("firing", 95, 1)
    assert (alert.started_at, alert.fired_at) == (START, START + timedelta(seconds=30))


def test_pending_that_clears_leaves_nothing(
    step: RulesStep, feed: Feed, rule: AlertRule, clock: Clock
) -> None:
    AlertRule.objects.filter(pk=rule.pk).update(for_s=30)
    step.tick(clock.advance(1))
    send(step, feed, make_sample(90, 0))
    send(step, feed, make_sample(10, 5))
    assert not Alert.objects.exists()
    assert events() == []


def test_keep_firing_for_holds_it(step: RulesStep, feed: Feed, rule: AlertRule, clock: Clock) -> None:
    AlertRule.objects.filter(pk=rule.pk).update(keep_firing_for_s=30)
    step.tick(clock.advance(1))
    send(step, feed, make_sample(90, 0), make_sample(10, 1), make_sample(10, 30))
    assert Alert.objects.get().state == "firing"
    send(step, feed, make_sample(10, 31))
    assert Alert.objects.get().state == "resolved"


def test_an_instance_that_falls_silent_after_a_good_sample_resolves_by_the_clock(
    step: RulesStep, feed: Feed, rule: AlertRule, clock: Clock, producer: MemoryProducer
) -> None:
    AlertRule.objects.filter(pk=rule.pk).update(keep_firing_for_s=30)
    step.tick(clock.advance(1))
    send(step, feed, make_sample(90, 0), make_sample(10, 1))
    step.tick(clock.advance(29))
    assert Alert.objects.get().state == "firing"
    step.tick(clock.advance(2))
    assert Alert.objects.get().state == "resolved"
    assert [json.loads(value)["state"] for _, value, _, _ in producer.sent] == ["firing", "resolved"]


def test_silence_after_a_bad_sample_resolves_nothing(step: RulesStep, feed: Feed, clock: Clock) -> None:
    send(step, feed, make_sample(90, 0))
    step.tick(clock.advance(86_400))
    assert Alert.objects.get().state == "firing"


def test_an_edited_rule_is_in_force_after_a_tick(
    step: RulesStep, feed: Feed, rule: AlertRule, clock: Clock
) -> None:
    send(step, feed, make_sample(70.0))
    assert not Alert.objects.exists()
    AlertRule.objects.filter(pk=rule.pk).update(threshold=60.0)
    step.tick(clock.advance(1))
    send(step, feed, make_sample(70.0, 1))
    assert Alert.objects.get().threshold == 60.0


def test_new_and_disabled_rules_are_taken_up(
    step: RulesStep, feed: Feed, rule: AlertRule, clock: Clock
) -> None:
    make_alert_rule(name="Disk", metric_name="disk_used_percent", threshold=90)
    AlertRule.objects.filter(pk=rule.pk).update(enabled=False)
    step.tick(clock.advance(1))
    send(step, feed, make_sample(99), make_sample(99, metric_name="disk_used_percent"))
    assert [alert.rule.name for alert in Alert.objects.all()] == ["Disk"]


def test_a_rule_disabled_and_enabled_again_can_fire_again(
    step: RulesStep, feed: Feed, rule: AlertRule, clock: Clock
) -> None:
    send(step, feed, make_sample(90))
    for enabled in (False, True):
        rule.enabled = enabled
        save_rule(rule=rule, actor="tester", now=clock.now)
        step.tick(clock.advance(1))
    assert Alert.objects.get().state == "resolved"
    assert Alert.objects.get().resolved_reason == "the rule was disabled"
    send(step, feed, make_sample(90, 5))
    assert sorted(Alert.objects.values_list("state", flat=True)) == ["firing", "resolved"]


def test_last_value_is_refreshed_every_few_seconds_only(
    step: RulesStep, feed: Feed, clock: Clock, django_assert_num_queries: Any
) -> None:
    send(step, feed, make_sample(90, 0))
    clock.advance(4)
    send(step, feed, make_sample(95, 1))
    step.tick(clock.now)
    assert Alert.objects.get().last_value == 90
    step.tick(clock.advance(1))
    alert = Alert.objects.get()
    assert (alert.last_value, alert.last_sample_at, alert.value) == (95, START + timedelta(seconds=1), 90)


def test_a_sample_from_the_future_does_not_make_the_next_ones_late(
    step: RulesStep, feed: Feed, clock: Clock
) -> None:
    future = clock.now + timedelta(days=365)
    send(step, feed, make_sample(90, timestamp=future))
    assert Alert.objects.get().started_at == clock.now
    clock.advance(1)
    send(step, feed, make_sample(10, timestamp=clock.now))
    assert Alert.objects.get().state == "resolved"


@pytest.mark.parametrize("is_stamped_by_it", [False, True], ids=["its record is new", "its record too"])
def test_a_broken_clock_neither_fires_at_once_nor_is_of_another_decade(
    rule: AlertRule, step: RulesStep, feed: Feed, clock: Clock, published: list[Any], is_stamped_by_it: bool
) -> None:
    rule.for_s = 60
    save_rule(rule=rule, actor="test", now=clock.now)
    step.tick(clock.now)
    began = clock.now
    for seconds in (0, 30, 59, 60):
        clock.now = began + timedelta(seconds=seconds)
        measured = datetime(1970, 1, 1, 0, 5, tzinfo=UTC) + timedelta(seconds=seconds)
        batch = feed.batch(
            make_sample(90, timestamp=measured), sent_at=measured if is_stamped_by_it else clock.now
        )
        feed.settle(step.handle(batch))
        assert Alert.objects.get().state == ("firing" if seconds == 60 else "pending")
    alert = Alert.objects.get()
    assert (alert.started_at, alert.fired_at) == (began, clock.now)
    assert "its own time, 1970-01-01 00:06:00+00:00, is" in AlertEvent.objects.get().reason
    newest = next(data for name, _, data in reversed(published) if name == "metric.newest")
    assert newest["timestamp"].startswith("2026-01-16")


@pytest.mark.parametrize("year", [1, 9999])
def test_absurd_times_are_stored_as_times(step: RulesStep, feed: Feed, year: int) -> None:
    absurd = make_sample(90).timestamp.replace(year=year)
    assert send(step, feed, make_sample(90, timestamp=absurd))
    assert 1970 <= Alert.objects.get().started_at.year <= 2026


def test_environments_and_tenants_have_alerts_of_their_own(step: RulesStep, feed: Feed) -> None:
    send(
        step,
        feed,
        make_sample(90, tags={"environment": "staging"}),
        make_sample(90, tags={}),
        make_sample(90, tags={"tenant_id": "acme"}),
    )
    assert sorted(Alert.objects.values_list("environment", flat=True)) == [
        "production",
        "production",
        "staging",
    ]


def test_many_instances_fire_in_one_transaction(step: RulesStep, feed: Feed) -> None:
    metrics = [make_sample(90, instance_id=f"db-{n}") for n in range(200)]
    connection.force_debug_cursor = True
    try:
        before = len(connection.queries_log)
        send(step, feed, *metrics)
        used = len(connection.queries_log) - before
    finally:
        connection.force_debug_cursor = False
    assert Alert.objects.count() == 200
    assert used < 20


def test_acknowledged_events_are_marked_published(step: RulesStep, feed: Feed, clock: Clock) -> None:
    send(step, feed, make_sample(90))
    assert AlertEvent.objects.get().published_at is None
    step.tick(clock.advance(1))
    assert AlertEvent.objects.get().published_at == clock.now


def test_a_sender_that_fails_does_not_fail_the_batch(
    step: RulesStep, feed: Feed, producer: MemoryProducer, clock: Clock
) -> None:
    producer.is_full = True
    assert send(step, feed, make_sample(90))
    step.tick(clock.advance(1))
    event = AlertEvent.objects.get()
    assert event.published_at is None
    assert event.leased_until is not None
    assert event.leased_until <= clock.now + timedelta(seconds=2)


def test_newest_values_are_sampled(step: RulesStep, feed: Feed, published: list[Any]) -> None:
    send(step, feed, *[make_sample(10, n, instance_id=f"db-{n}") for n in range(200)])
    newest = [data for kind, _, data in published if kind == "metric.newest"]
    assert len(newest) == alerting_step.NEWEST_AT_MOST
    assert newest[-1]["instance_id"] == "db-199"
    assert newest[-1]["offset"] == 199


def test_what_comes_between_two_frames_is_in_the_next(
    step: RulesStep, feed: Feed, published: list[Any], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = 100.0
    monkeypatch.setattr(alerting_step, "monotonic", lambda: at)

    def shown() -> list[str]:
        return [data["instance_id"] for kind, _, data in published if kind == "metric.newest"]

    for n in range(5):
        send(step, feed, make_sample(10, n, instance_id=f"db-{n}"))
    assert shown() == ["db-0"]
    at += alerting_step.NEWEST_EVERY_S
    # Nothing more comes, and nothing of it is kept back.
    step.tick(clock.advance(1))
    assert shown() == [f"db-{n}" for n in range(5)]
    at += alerting_step.NEWEST_EVERY_S
    step.tick(clock.advance(1))
    assert len(shown()) == 5
