"""The alerting step changes everything once, whoever comes with an old batch."""

from __future__ import annotations

from typing import Any

import pytest

from gdsconsole.kafka.errors import FencedError, TransientError
from tests.topics.alerting.step.driving import Clock, events, send
from tests.topics.making import GROUP, Feed, MemoryProducer, make_sample
from topics.alerting import step as alerting_step
from topics.alerting.outbox import EventSender
from topics.alerting.step import RulesStep
from topics.models import Alert, AlertRule

pytestmark = pytest.mark.django_db(transaction=True)


def test_another_consumers_observations_count_for_nothing_after_a_rebalance(
    step: RulesStep, feed: Feed, rule: AlertRule, clock: Clock
) -> None:
    AlertRule.objects.filter(pk=rule.pk).update(keep_firing_for_s=30)
    step.tick(clock.advance(1))
    send(step, feed, make_sample(90, 0), make_sample(10, 1))
    step.revoked([feed.partition])
    step.tick(clock.advance(100))
    assert Alert.objects.get().state == "firing"


def test_a_batch_delivered_again_is_fenced_and_changes_nothing(step: RulesStep, feed: Feed) -> None:
    batch = feed.batch(make_sample(90, 0), make_sample(10, 1))
    assert step.handle(batch)
    with pytest.raises(FencedError):
        step.handle(batch)
    assert events() == ["firing", "resolved"]
    assert step.assigned([feed.partition])[feed.partition] == 2


def test_a_fenced_consumer_goes_on_where_the_other_left_off(
    step: RulesStep, feed: Feed, clock: Clock
) -> None:
    """A consumer frozen with an old batch in hand, while another took over and fired the same alert."""
    frozen = RulesStep(group=GROUP, sender=EventSender(lambda: MemoryProducer()), clock=clock)  # type: ignore[arg-type,return-value]
    frozen.assigned([feed.partition])
    batch = feed.batch(make_sample(90, 0))
    assert step.handle(batch)
    with pytest.raises(FencedError):
        frozen.handle(batch)
    assert events() == ["firing"]
    frozen.assigned([feed.partition])
    feed.settle(True)
    assert frozen.handle(feed.batch(make_sample(91, 1))) is False
    assert Alert.objects.count() == 1


def test_two_consumers_with_one_series_in_two_partitions_open_one_alert(
    step: RulesStep, feed: Feed, clock: Clock
) -> None:
    """Without a key an instance's records are in every partition; only the constraint sees both."""
    other_feed = Feed(1)
    other = RulesStep(group=GROUP, sender=EventSender(lambda: MemoryProducer()), clock=clock)  # type: ignore[arg-type,return-value]
    other.assigned([other_feed.partition])
    assert step.handle(feed.batch(make_sample(90, 0)))
    assert other.handle(other_feed.batch(make_sample(92, 1))) is False
    assert Alert.objects.count() == 1
    assert events() == ["firing"]
    # The other consumer resolves it; the first one hears of that when it refreshes its own view.
    assert other.handle(other_feed.batch(make_sample(10, 2)))
    feed.settle(True)
    send(step, feed, make_sample(93, 3))
    step.tick(clock.advance(10))
    assert send(step, feed, make_sample(94, 4))
    assert sorted(Alert.objects.values_list("state", flat=True)) == ["firing", "resolved"]


def test_alerts_that_keep_moving_are_an_outage_not_poison(
    step: RulesStep, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def always_moved(**_: Any) -> Any:
        raise alerting_step.AlertsMoved("moved")

    monkeypatch.setattr(alerting_step, "store_drafts", always_moved)
    with pytest.raises(TransientError):
        step.handle(feed.batch(make_sample(90)))
    assert feed.stored_offset() == 0


def test_a_failed_transaction_leaves_no_trace_in_memory(
    step: RulesStep, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = feed.batch(make_sample(90))
    with monkeypatch.context() as patch:
        patch.setattr(alerting_step.progress, "advance", _locked)
        with pytest.raises(Exception, match="database is locked"):
            step.handle(batch)
    assert not Alert.objects.exists()
    assert step.handle(batch)
    assert Alert.objects.count() == 1


def _locked(**_: Any) -> None:
    from django.db import OperationalError

    raise OperationalError("database is locked")
