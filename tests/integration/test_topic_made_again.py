"""A topic deleted and made again at once, under traffic, with the groups at work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.utils import timezone

from gdsconsole.devstack.kafka_cluster import KafkaCluster
from gdsconsole.kafka.config import ClientSettings
from gdsconsole.kafka.offsets.start_offsets import MADE_AGAIN
from gdsconsole.pipelines import services
from tests.integration.stream import PARTITIONS, Stream, open_stream
from tests.kafka.remaking import remake
from tests.waiting import wait_until
from topics.models import Alert, MetricPoint

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.redis,
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(300),
]
SEED = 516


@pytest.fixture
def stream(
    kafka: KafkaCluster,
    topic_factory: Callable[..., str],
    redis_url: str,
    subprocess_environment: dict[str, str],
    tmp_path: Path,
) -> Iterator[Stream]:
    # Where the group's commit is all that tells which events were sent.
    environment = {**subprocess_environment, "GDS_ALERT_EVENTS": "transactional"}
    with open_stream(kafka, topic_factory, environment, tmp_path, seed=SEED) as opened:
        yield opened


def is_stored_once(stream: Stream, topic_id: str) -> None:
    """Every record of the topic is a point of it, and none is one of the topic before."""
    told = stream.acknowledged
    wait_until(
        lambda: MetricPoint.objects.filter(origin__topic_id=topic_id).count() >= len(told.values),
        60,
        "every record is stored",
        every_s=0.2,
    )
    wait_until(lambda: stream.lag("warehouse") == 0, 30, "the warehouse is at the end")
    wait_until(lambda: stream.lag("alerting") == 0, 30, "alerting is at the end")
    points = MetricPoint.objects.filter(origin__topic_id=topic_id)
    stored = points.values_list("origin__partition", "offset", "value")
    assert Counter(stored) == Counter((*place, value) for place, value in told.values.items())
    values = MetricPoint.objects.filter(value__in=list(told.values.values())).values_list("value", flat=True)
    assert max(Counter(values).values()) == 1
    alerts = Alert.objects.filter(labels__instance_id__in=list(told.breaking))
    assert Counter(alert.labels["instance_id"] for alert in alerts) == Counter(told.breaking)
    fired = stream.fired_in_kafka()
    assert {instance: fired[instance] for instance in told.breaking} == Counter(told.breaking)


def test_every_record_of_the_new_topic_is_stored_once(stream, kafka, kafka_admin):
    client = ClientSettings(kafka.bootstrap_servers)
    for name in ("warehouse", "alerting"):
        stream.start(name)
    stream.traffic.send(1_500)
    sent = len(stream.acknowledged.values)
    wait_until(lambda: MetricPoint.objects.count() >= sent, 60, "the old topic is stored")
    wait_until(lambda: stream.lag("alerting") == 0, 60, "alerting has read the old topic")
    # A client that lives on reads on where it was: the new topic soon has as many records.
    for leaders_moved in (False, True):
        if leaders_moved:
            # It ignores leaders that have moved less often than those it knows.
            kafka.broker(1).kill()
            stream.traffic.send(100)
            kafka.restore()
            stream.traffic.send(1_000)
        topic_id = remake(kafka_admin, client, stream.metrics, partitions=PARTITIONS)
        stream.traffic.begin_anew()
        with stream.traffic.flowing(per_s=1_000):
            wait_until(
                lambda topic_id=topic_id: MetricPoint.objects.filter(origin__topic_id=topic_id).exists(),
                30,
                "the new topic is read",
            )
        is_stored_once(stream, topic_id)
    assert not stream.ended()
    wait_until(lambda: all(map(MADE_AGAIN.__eq__, told().values())), 30, "it is told as what it is")


def told() -> dict[str, str]:
    """What each pipeline says of itself, without the topic."""
    rows = services.listing(now=timezone.now())
    return {row["name"]: row["reason"].partition(": ")[2] for row in rows}
