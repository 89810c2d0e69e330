"""Halts and shared dead letters on real brokers, with consumers that are killed in between."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from confluent_kafka import Producer

from gdsconsole.assembly import pipeline_catalog
from gdsconsole.kafka.config import ClientSettings
from gdsconsole.kafka.consuming.batching import BatchPolicy
from gdsconsole.kafka.consuming.equipment import Policies
from gdsconsole.kafka.consuming.retries import BreakerPolicy
from gdsconsole.kafka.consuming.runtime import ConsumerRuntime
from gdsconsole.kafka.dead_letters.envelope import decode
from gdsconsole.pipelines import services
from gdsconsole.pipelines.halts import services as halts
from gdsconsole.pipelines.halts import skipping
from gdsconsole.pipelines.halts.services import Decision
from gdsconsole.pipelines.models import PartitionHalt
from tests.factories import by
from tests.kafka.reading import read_all
from tests.waiting import wait_until
from topics.alerting.step import RulesStep
from topics.models import MetricPoint
from topics.warehouse.analytics_step import AnalyticsStep
from topics.warehouse.step import WarehouseStep

pytestmark = [pytest.mark.kafka, pytest.mark.django_db(transaction=True)]

PARTITIONS = 12
NAMES: Mapping[str, Callable[..., Any]] = {
    "alerting": RulesStep,
    "warehouse": WarehouseStep,
    "analytics": partial(AnalyticsStep, window=timedelta(hours=1)),
}
SPECS = {
    "alerting": pipeline_catalog.ALERTING,
    "warehouse": pipeline_catalog.WAREHOUSE,
    "analytics": pipeline_catalog.ANALYTICS,
}
# Small bounds: twenty in a row.
POLICIES = Policies(batch=BatchPolicy(maximum=200), breaker=BreakerPolicy(max_in_a_row=20))


class Space:
    """Topics and groups of a test's own, and pipelines on them that it runs turn by turn."""

    def __init__(self, client: ClientSettings, topic_factory: Callable[..., str]) -> None:
        self.client = client
        self.metrics = topic_factory(partitions=PARTITIONS)
        self.dead = topic_factory(partitions=1)
        self.producer = Producer({"bootstrap.servers": client.bootstrap_servers})
        self.running: dict[str, ConsumerRuntime] = {}
        services.ensure(groups={name: self.group(name) for name in NAMES})

    def group(self, name: str) -> str:
        return f"{self.metrics}-{name}"

    def start(self, name: str, policies: Policies = POLICIES) -> ConsumerRuntime:
        """As a process that starts: with what the database and Kafka keep of the last one."""
        group = self.group(name)
        spec = replace(
            SPECS[name],
            group=group,
            step=lambda: NAMES[name](group=group),
            dead_letter_topic=lambda topic: self.dead,
            in_transactions=None,
            policies=policies,
        )
        pipeline = pipeline_catalog.build(spec, slot=0)
        pipeline.subscribe([self.metrics])
        self.running[name] = pipeline
        return pipeline

    def stop(self, name: str, *, commit: bool) -> None:
        self.running.pop(name).close(commit=commit)

    def send(self, partition: int, count: int, *, good: bool) -> None:
        for number in range(count):
            metric = {
                "timestamp": datetime.now(UTC).isoformat(),
                "database_type": "postgresql",
                "instance_id": f"db-{partition}",
                "metric_name": "cpu_usage_percent",
                "value": float(number),
                "tags": {"environment": "production"},
            }
            self.producer.produce(
                self.metrics, json.dumps(metric) if good else "no json", partition=partition
            )
        assert self.producer.flush(20) == 0

    def until(self, done: Callable[[], Any], what: str) -> Any:
        def step() -> Any:
            for pipeline in self.running.values():
                pipeline.run_once()
            return done()

        return wait_until(step, 60, what, every_s=0)

    def stored(self) -> Counter[int]:
        return Counter(MetricPoint.objects.values_list("origin__partition", flat=True))

    def letters(self) -> Counter[tuple[int | None, int | None]]:
        """How often each record is in the dead letter topic."""
        letters = [decode(record) for record in read_all(self.client, self.dead)]
        return Counter((letter.partition, letter.offset) for letter in letters)


@pytest.fixture
def space(kafka: Any, settings: Any, topic_factory: Callable[..., str]) -> Iterator[Space]:
    settings.KAFKA_BOOTSTRAP_SERVERS = kafka.bootstrap_servers
    made = Space(ClientSettings(kafka.bootstrap_servers), topic_factory)
    yield made
    for pipeline in made.running.values():
        pipeline.close(commit=False)


def decide(space: Space, decision: PartitionHalt.Decision, to: str = "") -> None:
    pipeline = services.find("warehouse")
    (row,) = halts.chosen(pipeline, ["3"])
    skips = None
    if to:
        (skip,) = skipping.preview(skipping.target(to), skipping.stands([row]))
        skips = {row.pk: skip.to}
    halts.decide(pipeline=pipeline, decision=decision, expected={row.pk: row.offset}, skips=skips, **by())


def test_one_partition_halts_the_others_go_on_and_each_way_out_holds_over_a_restart(space: Space) -> None:
    for partition in range(PARTITIONS):
        space.send(partition, 5, good=True)
    space.send(3, 30, good=False)
    warehouse = space.start("warehouse")
    space.until(lambda: warehouse.snapshot().halted, "partition 3 halts")
    row = PartitionHalt.objects.get()
    assert (row.partition, list(warehouse.snapshot().halted)) == (3, [f"{space.metrics}-3"])
    assert 25 <= row.offset <= 35

    # A kill: what was not committed is read again, up to the halt; the others go on.
    space.stop("warehouse", commit=False)
    warehouse = space.start("warehouse")
    for partition in range(PARTITIONS):
        space.send(partition, 5, good=True)
    expected = Counter({partition: 5 if partition == 3 else 10 for partition in range(PARTITIONS)})
    space.until(lambda: space.stored() == expected, "the other eleven are processed")
    space.until(lambda: warehouse.snapshot().halted, "partition 3 stands again")
    assert PartitionHalt.objects.get().offset == row.offset

    # Dead-letter until it is good again: decided while no consumer runs.
    space.stop("warehouse", commit=True)
    decide(space, Decision.DEAD_LETTER)
    space.start("warehouse")
    space.until(lambda: space.stored()[3] == 10, "what follows the poison is stored")
    space.until(lambda: not PartitionHalt.objects.exists(), "the breaker is armed again")
    assert set(space.letters()) == {(3, offset) for offset in range(5, 35)}

    # Skip to the end: what lies between is neither stored nor dead-lettered.
    space.send(3, 30, good=False)
    space.until(lambda: PartitionHalt.objects.exists(), "partition 3 halts again")
    space.send(3, 5, good=True)
    at = PartitionHalt.objects.get().offset
    decide(space, Decision.SKIP, "latest")
    space.until(lambda: not PartitionHalt.objects.exists(), "the skip is done")
    space.stop("warehouse", commit=False)
    warehouse = space.start("warehouse")
    space.send(3, 5, good=True)
    space.until(lambda: space.stored()[3] == 15, "what comes after the skip is stored")
    assert set(space.letters()) == {(3, offset) for offset in [*range(5, 35), *range(40, at)]}

    # Resume: it goes on where it stood, and halts again at as much poison.
    space.send(3, 20, good=False)
    space.until(lambda: PartitionHalt.objects.exists(), "partition 3 halts a third time")
    services.resume(name="warehouse", **by())
    space.send(3, 5, good=True)
    space.until(lambda: space.stored()[3] == 20, "it goes on")
    assert not warehouse.snapshot().halted


def test_poison_over_twelve_partitions_halts_early_with_a_bounded_number_of_dead_letters(
    space: Space,
) -> None:
    for partition in range(PARTITIONS):
        space.send(partition, 250, good=False)
    pipeline = space.start("warehouse", SPECS["warehouse"].policies)
    space.until(lambda: len(pipeline.snapshot().halted) == PARTITIONS, "all of them halt")
    written = space.letters()
    # Of 3,000: 500 before the consumer's breaker stops the first, and a hundred at most of each other.
    assert len(written) <= 1_700
    assert max(written.values()) == 1
    assert PartitionHalt.objects.count() == PARTITIONS


CLAIMS_AND_DIES = """
import os, signal, sys, django
django.setup()
from gdsconsole.kafka.dead_letters.claims import RecordClaim
from gdsconsole.kafka.partitions import TopicIdPartition
from gdsconsole.pipelines.dead_letter_claims import StoredClaims
group, topic, topic_id, cluster_id = sys.argv[1:]
part = TopicIdPartition(topic, 0, topic_id, cluster_id)
mine = StoredClaims(group).claim([RecordClaim(part, offset) for offset in range(3)]).mine
print(len(mine), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_three_groups_that_meet_a_record_write_it_once_also_where_the_first_is_killed_over_it(
    space: Space, subprocess_environment: Mapping[str, str]
) -> None:
    space.send(0, 3, good=False)
    space.send(0, 1, good=True)
    ((cluster_id, topic_id),) = pipeline_catalog.identify(space.client, [space.metrics]).values()
    words = [space.group("dead"), space.metrics, topic_id, cluster_id]
    killed = subprocess.run(
        [sys.executable, "-c", CLAIMS_AND_DIES, *words],
        env=dict(subprocess_environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (killed.stdout, killed.returncode) == ("3\n", -signal.SIGKILL), killed.stderr
    pipelines = [space.start(name) for name in NAMES]
    space.until(
        lambda: any("another group's" in one.snapshot().reason for one in pipelines), "they wait for it"
    )
    assert space.letters() == Counter()
    assert all(one.counters.processed == 0 for one in pipelines)
    space.until(lambda: all(one.counters.processed == 1 for one in pipelines), "they are past it")
    assert space.letters() == Counter({(0, offset): 1 for offset in range(3)})
    assert [one.counters.dead_letters for one in pipelines] == [3, 3, 3]
    space.send(1, 3, good=False)
    space.until(lambda: all(one.counters.dead_letters == 6 for one in pipelines), "they meet three more")
    assert space.letters() == Counter({(number, offset): 1 for number in (0, 1) for offset in range(3)})
