"""From a record that fails to the page and back, over a real cluster."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from confluent_kafka import Producer

from dlq import services
from dlq.models import EVERY_GROUP, DeadLetter, DeadLetterEvent, ReplayItem, ReplayRun
from dlq.replayer import replay_waiting
from dlq.step import IndexStep
from gdsconsole.assembly import pipeline_catalog
from gdsconsole.kafka.consuming.runtime import ConsumerRuntime
from tests.dlq.conftest import ReplaySpace
from tests.factories import make_dead_letter
from tests.waiting import wait_until
from topics.alerting.step import RulesStep
from topics.models import TopicDefinition

pytestmark = [pytest.mark.kafka, pytest.mark.django_db(transaction=True)]

NOW = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
GOOD = {
    "timestamp": "2026-01-15T10:30:00Z",
    "database_type": "postgresql",
    "instance_id": "prod-db-01",
    "metric_name": "cpu_usage_percent",
    "value": 10.5,
    "tags": {"environment": "production"},
}
POISON = [b"not json", b"\xff\xfe", None, b'{"value": "high"}', b"[]"]


@pytest.fixture
def topics(space: ReplaySpace, topic_factory: Callable[..., str]) -> tuple[str, str]:
    """A metrics topic and its dead letter topic, of this test's own organization."""
    organization = space.transactional_id.removesuffix("-replayer")
    metrics, dead = f"{organization}.metrics.production", f"{organization}.metrics.dlq"
    topic_factory(metrics)
    topic_factory(dead)
    for name in (metrics, dead):
        TopicDefinition.objects.create(
            name=name, partitions=3, replication_factor=3, retention_ms=604_800_000
        )
    return metrics, dead


@pytest.fixture
def pipelines(topics: tuple[str, str]) -> Iterator[Callable[[], None]]:
    """Runs both pipelines, a step each, as often as it is called; in groups of this test's own."""
    organization = topics[0].partition(".")[0]
    alerting, index = f"{organization}-alerting", f"{organization}-dlq-index"
    specs = [
        (
            replace(pipeline_catalog.ALERTING, group=alerting, step=lambda: RulesStep(group=alerting)),
            topics[0],
        ),
        (replace(pipeline_catalog.DLQ_INDEX, group=index, step=lambda: IndexStep(group=index)), topics[1]),
    ]
    running: list[ConsumerRuntime] = []
    for spec, topic in specs:
        pipeline = pipeline_catalog.build(spec, slot=0)
        pipeline.subscribe([topic])
        running.append(pipeline)

    def turn() -> None:
        for pipeline in running:
            pipeline.run_once()
            assert pipeline.halted is None, pipeline.halted

    yield turn
    for pipeline in running:
        pipeline.close(commit=True)


def send(space: ReplaySpace, topic: str, values: list[bytes | None]) -> None:
    producer = Producer({"bootstrap.servers": space.client.bootstrap_servers})
    for value in values:
        producer.produce(topic, value, key=b"postgresql:prod-db-01", headers=[("source", b"\xff")])
    assert producer.flush(20) == 0


def turned(turn: Callable[[], None], done: Callable[[], Any], what: str) -> None:
    def step() -> Any:
        turn()
        return done()

    wait_until(step, 60, what, every_s=0)


def test_poison_goes_round_and_stays_one_letter(
    space: ReplaySpace, topics: tuple[str, str], pipelines: Callable[[], None]
) -> None:
    metrics, dead = topics
    send(space, metrics, [json.dumps(GOOD).encode()] * 20 + POISON)
    turned(pipelines, lambda: DeadLetter.objects.count() >= len(POISON), "every poisonous record is indexed")

    letters = list(DeadLetter.objects.all())
    assert len(letters) == len(POISON)
    assert {letter.value for letter in letters} == set(POISON)
    for letter in letters:
        assert (letter.topic, letter.group, letter.dlq_topic) == (metrics, EVERY_GROUP, dead)
        assert (letter.key, letter.header_pairs()) == (b"postgresql:prod-db-01", [("source", b"\xff")])
        assert letter.topic_id
        assert letter.expires_at is not None

    chosen = letters[0]
    services.start_replay(ids=[chosen.pk], actor="reviewer", now=NOW)
    replay_waiting(space.client)
    turned(
        pipelines,
        lambda: DeadLetterEvent.objects.filter(action="failed_again").exists(),
        "the replayed record came back",
    )

    assert DeadLetter.objects.count() == len(POISON)
    chosen.refresh_from_db()
    item = ReplayItem.objects.get()
    assert (chosen.state, chosen.replay_count) == ("failed", 1)
    assert (item.same_cause, item.target_topic) == (True, metrics)
    actions = [event.action for event in chosen.events.all()]
    assert actions == ["indexed", "requested", "replayed", "failed_again"]
    # The original is untouched; where it failed last is not where it failed first.
    assert (item.target_partition, item.target_offset) != (chosen.partition, chosen.offset)

    # Its first failure is remembered across the replay.
    newest = space.read(dead)
    firsts = {
        dict(record.headers() or [])["gds.dlq.failure.first"]
        for record in newest
        if record.value() == chosen.value
    }
    assert len(firsts) == 1


def test_a_healed_message_is_processed_once(
    space: ReplaySpace, topics: tuple[str, str], pipelines: Callable[[], None]
) -> None:
    """What failed for a reason that is gone passes: here, its bytes are good now."""
    metrics, _ = topics
    send(space, metrics, [b"not json"])
    turned(pipelines, lambda: DeadLetter.objects.count() == 1, "it is indexed")
    DeadLetter.objects.update(value=json.dumps(GOOD).encode())
    letter = DeadLetter.objects.get()
    services.start_replay(ids=[letter.pk], actor="reviewer", now=NOW)
    replay_waiting(space.client)
    # A second poison behind it, on the same partition, shows when the replay has been read.
    send(space, metrics, [b"also not json"])
    turned(pipelines, lambda: DeadLetter.objects.count() == 2, "the one behind it is indexed")
    letter.refresh_from_db()
    assert (letter.state, letter.replay_count) == ("replayed", 1)
    assert len([record for record in space.read(metrics) if record.value() == letter.value]) == 1


@pytest.mark.redis
def test_a_worker_replays_what_the_command_asks_for(
    space: ReplaySpace, redis_url: str, subprocess_environment: dict[str, str], request: pytest.FixtureRequest
) -> None:
    letters = [make_dead_letter(topic=space.target, partition=n) for n in range(3)]
    environment = {
        **subprocess_environment,
        "GDS_ORGANIZATION": space.transactional_id.removesuffix("-replayer"),
        "KAFKA_BOOTSTRAP_SERVERS": space.client.bootstrap_servers,
        "REDIS_URL": redis_url,
    }
    words = ["worker", "--queues", "replay", "--concurrency", "1", "--without-gossip", "--without-mingle"]
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "--app", "gdsconsole", *words],
        env=environment,
        start_new_session=True,
    )

    def end() -> None:
        worker.send_signal(signal.SIGTERM)
        worker.wait(30)

    request.addfinalizer(end)
    command = [
        sys.executable,
        "manage.py",
        "dlq",
        "replay",
        *[str(letter.pk) for letter in letters],
        "--json",
    ]
    # Two at once, as by a double click: one of them is told so, and every letter goes once.
    both = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = [one.communicate(timeout=120) for one in both]
    codes = sorted(one.returncode for one in both)
    assert codes == [0, 1], answers
    outcomes = sorted([one["outcome"] for one in json.loads(out)] for out, _ in answers)
    assert outcomes == [["rejected"] * 3, ["replayed"] * 3]
    assert ReplayRun.objects.count() == 1
    assert len(space.read()) == 3
