"""A topic that the brokers refuse to describe: unknown with its reason, and the others as ever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError
from confluent_kafka.admin import ConfigResource
from django.test import Client
from django.utils import timezone

from gdsconsole.kafka.cluster import topic_admin
from gdsconsole.kafka.cluster.topic_admin import LiveTopics
from gdsconsole.pipelines.connection import kafka_settings
from tests.topics.conftest import live_topic
from topics import seed
from topics.definitions import services
from topics.definitions.plan import Kind
from topics.definitions.services.comparison import summarize
from topics.models import TopicDefinition

METRICS, LOGS = "gds.metrics.production", "gds.logs.production"
DENIED = "Broker: Topic authorization failed"


@pytest.fixture
def others() -> list[Any]:
    """The guide's topics as declared, but for that of the metrics."""
    seed.install_guide_definitions()
    return [live_topic(one) for one in TopicDefinition.objects.exclude(name=METRICS)]


@pytest.mark.django_db
def test_its_page_and_the_list_say_why(
    operator: Client, others: list[Any], cluster_is: Callable[..., None]
) -> None:
    cluster_is(*others, **{METRICS: DENIED})
    listed = operator.get("/topics/")
    assert {row["name"]: row["state"].state for row in listed.context["rows"]} == {
        METRICS: "unknown",
        LOGS: "in sync",
        "gds.alerts.production": "in sync",
        "gds.metrics.dlq": "in sync",
    }
    assert f"the cluster does not describe {METRICS}" in listed.content.decode()
    assert DENIED in operator.get(f"/topics/{METRICS}/").content.decode()


@pytest.mark.django_db
def test_a_plan_does_not_create_what_is_there(others: list[Any]) -> None:
    found = {topic.name: topic for topic in others}
    live = LiveTopics("cluster", 3, found, frozenset({*found, METRICS}), {METRICS: DENIED})
    (change,) = services.plan_topics(live).changes
    assert (change.topic, change.kind) == (METRICS, Kind.REFUSED)
    assert DENIED in change.reason
    (outcome,) = services.apply_topics(services.plan_topics(live), live, actor="olga", now=timezone.now())
    assert outcome.error is not None
    assert TopicDefinition.objects.get(name=METRICS).last_applied is None
    assert TopicDefinition.objects.get(name=LOGS).last_applied is not None


@pytest.mark.django_db
def test_it_is_not_told_as_missing(others: list[Any]) -> None:
    found = {topic.name: topic for topic in others}
    live = LiveTopics("cluster", 3, found, frozenset({*found, METRICS}), {METRICS: DENIED})
    told = summarize(services.topic_states(live), needed={METRICS}, there=live.names)
    assert told["missing"]["count"] == told["drift"]["count"] == 0
    assert told["absent"] == []


@pytest.mark.kafka
@pytest.mark.parametrize("kind", ["config", "id"])
def test_one_refusal_leaves_the_others_described(
    topic_factory: Callable[..., str], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The brokers of the tests have no ACLs, so the refusal takes the place of a real answer."""
    good, denied = topic_factory(), topic_factory()
    answers = topic_admin.answers

    def refusing(futures: Any, *args: Any, **kwargs: Any) -> Any:
        found, failed = answers(futures, *args, **kwargs)
        for key in list(found):
            is_config = isinstance(key, ConfigResource)
            if (key.name if is_config else key) == denied and is_config == (kind == "config"):
                del found[key]
                failed[key] = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
        return found, failed

    monkeypatch.setattr(topic_admin, "answers", refusing)
    live = topic_admin.describe_topics(kafka_settings(), {good, denied, "no.such.topic"})
    assert set(live.topics) == {good}
    assert set(live.unread) == {denied}
    assert "authorization failed" in live.unread[denied]
