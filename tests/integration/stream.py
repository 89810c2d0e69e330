"""A stream of metrics, the groups that read it, and whether each record became what it had to, once."""

from __future__ import annotations

import json
import signal
import sys
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from dlq.models import DeadLetter
from gdsconsole.devstack.kafka_cluster import KafkaCluster
from gdsconsole.kafka.config import ClientSettings
from gdsconsole.kafka.dead_letters.envelope import decode
from gdsconsole.kafka.errors import InvalidMessage
from gdsconsole.pipelines.models import PipelineConsumer
from tests.integration.offsets import committed_offsets, end_offsets
from tests.integration.processes import Part, Parts, console_parts
from tests.integration.traffic import Acknowledged, Place, Traffic
from tests.kafka.reading import read_all
from tests.waiting import wait_until
from topics.models import Alert, AlertEvent, MetricPoint
from topics.seed import install_default_rules
from topics.telemetry import decode_metric

PARTITIONS = 12
DLQ_PARTITIONS = 3


class Stream:
    """Topics and groups of its own, so that no test before or beside this one is in its groups.

    The database is the test's, which must be one that other processes see.
    """

    def __init__(
        self,
        kafka: KafkaCluster,
        topic_factory: Callable[..., str],
        parts: Parts,
        *,
        organization: str,
        seed: int,
    ) -> None:
        self._kafka = kafka
        self._parts = parts
        self.organization = organization
        self._consumers: dict[str, Part] = {}
        self.metrics = topic_factory(f"{organization}.metrics.production", partitions=PARTITIONS)
        self.dead = topic_factory(f"{organization}.metrics.dlq", partitions=DLQ_PARTITIONS)
        self.alerts = topic_factory(f"{organization}.alerts.production", partitions=3)
        self.traffic = Traffic(kafka.bootstrap_servers, self.metrics, seed=seed)
        install_default_rules()

    @property
    def acknowledged(self) -> Acknowledged:
        return self.traffic.acknowledged

    def group(self, name: str) -> str:
        return f"{self.organization}-{name}"

    def start(self, name: str, *words: str) -> Part:
        """Start the consumer of a pipeline; the words are those of `tests.integration.lives`."""
        part = self._parts.module("tests.integration.lives", name, self.group(name), *words)
        self._consumers[name] = part
        return part

    def ended(self) -> dict[str, str]:
        """What those consumers said last that ended though nobody asked them to."""
        found = {name: part for name, part in self._consumers.items() if part.process.poll() is not None}
        return {name: part.said()[-2_000:] for name, part in found.items()}

    def drain(self) -> None:
        """Stop every consumer in an orderly way, once each group is at the end of what it reads."""
        for name in sorted(self._consumers, key="dlq-index".__eq__):
            wait_until(lambda name=name: self.lag(name) == 0, 90, f"{name} is at the end", every_s=0.2)
        for name in self._consumers:
            # One that has only just started, after a kill, settles first what the last left behind.
            wait_until(lambda name=name: is_at_work(name), 30, f"{name} holds its partitions")
        for part in self._consumers.values():
            part.signal(signal.SIGTERM)
        for name, part in self._consumers.items():
            assert part.wait(30) == 0, f"{name}: {part.said()[-2_000:]}"

    def lag(self, name: str) -> int | None:
        """How far the group's commits are from the ends of its partitions; None where it has none."""
        topic, count = (self.dead, DLQ_PARTITIONS) if name == "dlq-index" else (self.metrics, PARTITIONS)
        parts = [TopicPartition(topic, number) for number in range(count)]
        with self._consumer(self.group(name)) as consumer:
            committed, ends = committed_offsets(consumer, parts), end_offsets(consumer, parts)
        return None if min(committed) < 0 else sum(ends) - sum(committed)

    def faults(self) -> dict[str, int]:
        """How many effects are missing, and how many there are too many; empty where all is well.

        All that was acknowledged is in the topic, and all that is in the topic has its effect once. The topic
        may hold a little more: where every broker dies at once, the client may send again what was written
        and not acknowledged yet, and the brokers may not know it for the same.
        """
        told = self.acknowledged
        good, bad = self.held()
        points = MetricPoint.objects.values_list("origin__partition", "offset", "value")
        found: dict[str, tuple[Iterable[Hashable], Iterable[Hashable]]] = {
            "acknowledged values": (told.values.items(), told.values.items() & good.items()),
            "acknowledged poison": (told.poison, told.poison & bad),
            "points": ([(*place, value) for place, value in good.items()], points),
            "alerts": (told.breaking, [alert.labels["instance_id"] for alert in Alert.objects.all()]),
            "firing events": (told.breaking, self.fired_in_database().elements()),
            "dead letters": (bad, DeadLetter.objects.values_list("partition", "offset")),
        }
        written = self._dead_letters()
        # What no group can decode is written once, whichever of them does.
        found["dead letters in Kafka"] = (bad, set().union(*written.values()))
        return dict(_faults(found))

    def held(self) -> tuple[dict[Place, float], set[Place]]:
        """What the topic holds: the values of its metrics, and where the records are that are none."""
        good: dict[Place, float] = {}
        bad: set[Place] = set()
        for record in read_all(ClientSettings(self._kafka.bootstrap_servers), self.metrics):
            place = (record.partition() or 0, record.offset() or 0)
            try:
                good[place] = decode_metric(record.value()).value
            except InvalidMessage:
                bad.add(place)
        return good, bad

    def written_by(self, name: str) -> set[Place]:
        """Where the records are that the pipeline has dead-lettered."""
        return self._dead_letters()[self.group(name)]

    def fired_in_kafka(self) -> Counter[str]:
        """The instances of the firing events, as a reader of committed data sees them."""
        client = ClientSettings(self._kafka.bootstrap_servers)
        events = [json.loads(record.value()) for record in read_all(client, self.alerts)]
        return Counter(event["labels"]["instance_id"] for event in events if event["state"] == "firing")

    def fired_in_database(self) -> Counter[str]:
        """The same events' rows."""
        fired = AlertEvent.objects.filter(state="firing").select_related("alert")
        return Counter(event.alert.labels["instance_id"] for event in fired)

    def _dead_letters(self) -> Mapping[str, set[Place]]:
        """What each group wrote. One that is written again after a crash is one: the index says so."""
        written: dict[str, set[Place]] = defaultdict(set)
        parts = [TopicPartition(self.dead, number, OFFSET_BEGINNING) for number in range(DLQ_PARTITIONS)]
        with self._consumer(str(uuid.uuid4())) as consumer:
            left = sum(end_offsets(consumer, parts))
            consumer.assign(parts)
            while left:
                for record in consumer.consume(1_000, 1.0):
                    assert record.error() is None, record.error()
                    letter = decode(record)
                    assert letter.topic == self.metrics
                    written[letter.group].add((letter.partition or 0, letter.offset or 0))
                    left -= 1
        return written

    @contextmanager
    def _consumer(self, group: str) -> Iterator[Consumer]:
        consumer = Consumer({"bootstrap.servers": self._kafka.bootstrap_servers, "group.id": group})
        try:
            yield consumer
        finally:
            consumer.close()


def is_at_work(name: str) -> bool:
    """Whether the pipeline's consumer reads every partition it holds, as of its last heartbeat."""
    consumer = PipelineConsumer.objects.get(pipeline__name=name, slot=0)
    return bool(consumer.partitions) and not consumer.counters["waiting"]


@contextmanager
def open_stream(
    kafka: KafkaCluster,
    topic_factory: Callable[..., str],
    environment: Mapping[str, str],
    directory: Path,
    *,
    seed: int,
) -> Iterator[Stream]:
    organization = f"t{uuid.uuid4().hex[:10]}"
    with console_parts({**environment, "GDS_ORGANIZATION": organization}, directory) as parts:
        yield Stream(kafka, topic_factory, parts, organization=organization, seed=seed)


def _faults(
    found: Mapping[str, tuple[Iterable[Hashable], Iterable[Hashable]]],
) -> Iterator[tuple[str, int]]:
    for name, (wanted, there) in found.items():
        expected, counted = Counter(wanted), Counter(there)
        for how, difference in (("missing", expected - counted), ("too many", counted - expected)):
            if difference:
                sys.stderr.write(f"{name} {how}: {sorted(difference)[:5]}\n")
                yield f"{name} {how}", difference.total()
