"""What pages are told of the declared topics: each once, and what the console needs is looked for."""

from __future__ import annotations

import uuid

import pytest

from gdsconsole.devstack.kafka_cluster import KafkaCluster
from gdsconsole.kafka.cluster.topic_admin import LiveTopic, LiveTopics
from gdsconsole.live.publish import flush
from gdsconsole.live.snapshots import latest
from tests.topics.conftest import live_topic
from topics import seed, tasks
from topics.definitions import services
from topics.definitions.services.comparison import needed_topics, summarize
from topics.definitions.services.topics import topic_states
from topics.models import TopicDefinition

pytestmark = pytest.mark.django_db
METRICS, ALERTS, LOGS, REFUSED = (
    "gds.metrics.production",
    "gds.alerts.production",
    "gds.logs.production",
    "gds.metrics.dlq",
)
NOTHING = {"count": 0, "names": []}


def _cluster(*topics: LiveTopic) -> LiveTopics:
    found = {topic.name: topic for topic in topics}
    return LiveTopics("cluster", 3, found, frozenset(found))


def _told(live: LiveTopics) -> dict[str, object]:
    return summarize(topic_states(live), needed=needed_topics(), there=live.names)


@pytest.fixture
def declared() -> dict[str, TopicDefinition]:
    seed.install_guide_definitions()
    return {one.name: one for one in TopicDefinition.objects.all()}


def test_all_as_declared(declared: dict[str, TopicDefinition]) -> None:
    told = _told(_cluster(*(live_topic(one) for one in declared.values())))
    assert told == {"declared": 4, "absent": [], "missing": NOTHING, "drift": NOTHING, "failing": NOTHING}


def test_each_topic_is_told_once(declared: dict[str, TopicDefinition]) -> None:
    told = _told(
        _cluster(
            # Differs and fails a check: it is told as drift.
            live_topic(declared[METRICS], replicas=1),
            live_topic(declared[LOGS], config={"retention.ms": "86400000"}),
            live_topic(declared[ALERTS]),
        )
    )
    assert told["missing"] == {"count": 1, "names": [REFUSED]}
    assert told["drift"] == {"count": 2, "names": [LOGS, METRICS]}
    assert told["absent"] == [REFUSED]


def test_a_disabled_declaration_says_nothing(declared: dict[str, TopicDefinition]) -> None:
    TopicDefinition.objects.filter(name=LOGS).update(enabled=False)
    told = _told(_cluster(*(live_topic(one) for one in declared.values() if one.name != LOGS)))
    assert (told["declared"], told["missing"]) == (3, NOTHING)


def test_what_the_console_needs_is_looked_for_though_nobody_declared_it() -> None:
    seed.install_guide_definitions()
    TopicDefinition.objects.exclude(name=METRICS).delete()
    definition = TopicDefinition.objects.get()
    told = _told(_cluster(live_topic(definition)))
    assert told["missing"] == NOTHING
    assert told["absent"] == [ALERTS, REFUSED]


@pytest.mark.kafka
@pytest.mark.redis
def test_the_task_tells_pages_what_the_cluster_has(kafka: KafkaCluster, redis_url: str) -> None:
    name = f"t{uuid.uuid4().hex[:10]}.metrics.production"
    seed.install_guide_definitions()
    TopicDefinition.objects.filter(name=METRICS).update(name=name)
    tasks.compare_topics()
    flush()
    told = (latest("topics.compared") or {})["declared"]
    assert name in told["absent"]
    assert told["missing"]["count"] >= 1


@pytest.mark.redis
def test_a_cluster_that_is_away_is_told_by_silence(redis_url: str, settings: object) -> None:
    settings.KAFKA_BOOTSTRAP_SERVERS = "127.0.0.1:1"  # type: ignore[attr-defined]
    seed.install_guide_definitions()
    tasks.compare_topics()
    flush()
    assert latest("topics.compared") == {}
    assert services.topic_states(None)[0].state == "unknown"
