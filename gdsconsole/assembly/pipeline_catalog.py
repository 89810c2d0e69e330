"""The pipelines of this console: name -> group, topics, decoder, step.

A new consumer group is a new entry here. Everything is made by the process that runs the consumer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.conf import settings

from dlq.step import DatabasePark, IndexStep
from gdsconsole.env import TRANSACTIONAL
from gdsconsole.kafka.clients import Producer, new_producer
from gdsconsole.kafka.cluster import metadata
from gdsconsole.kafka.config import ClientSettings
from gdsconsole.kafka.consuming.batching import BatchPolicy
from gdsconsole.kafka.consuming.decoding import Decoder, RecordDecoder, ValueDecoder
from gdsconsole.kafka.consuming.equipment import Policies, Stores, Transport, Work
from gdsconsole.kafka.consuming.rebalance import Starts
from gdsconsole.kafka.consuming.runtime import ConsumerRuntime
from gdsconsole.kafka.consuming.static_member import open_member
from gdsconsole.kafka.dead_letters import envelope
from gdsconsole.kafka.dead_letters.writer import DeadLetterWriter
from gdsconsole.kafka.errors import TransientError
from gdsconsole.kafka.forwarding.transactional import InTransactions, in_transactions
from gdsconsole.kafka.step import Step
from gdsconsole.pipelines import services
from gdsconsole.pipelines.connection import kafka_settings
from gdsconsole.pipelines.dead_letter_claims import StoredClaims
from gdsconsole.pipelines.halts.store import StoredHalts
from gdsconsole.pipelines.storage import StoredFailures, StoredStep, classify_failure, storage
from topics import naming
from topics.alerting.step import RulesStep
from topics.alerting.transactional_outbox import TransactionalEvents
from topics.models import TopicDefinition
from topics.telemetry import METRIC_DECODER, decode_metric
from topics.warehouse.analytics_step import AnalyticsStep
from topics.warehouse.step import WarehouseStep

# A sample measured further from when it was sent counts when it was sent.
WINDOW = timedelta(seconds=settings.GDS_WAREHOUSE.window_seconds)


@dataclass(frozen=True, slots=True)
class SendingStep:
    """A step that sends records on in transactions, and what is to be told where partitions start."""

    step: Step[Any]
    placed: Callable[[Starts], None]


@dataclass(frozen=True, slots=True)
class Product:
    """What a pipeline makes, as the overview draws it; `counted` is the reading that stands for `note`."""

    key: str
    title: str
    mark: str
    writes: str
    note: str = ""
    counted: str = ""


@dataclass(frozen=True, slots=True)
class PipelineSpec:
    """What a consumer group does. The callables are called in the process of each consumer.

    `dead_letter_topic` gives the topic for a source topic's dead letters; None where the decoder takes
    every record. `in_transactions` makes the step where GDS_ALERT_EVENTS is "transactional".
    """

    name: str
    group: str
    topics: Callable[[], Sequence[str]]
    decoder: Callable[[], Decoder]
    step: Callable[[], Step[Any]]
    dead_letter_topic: Callable[[str], str] | None
    product: Product
    policies: Policies = field(default_factory=Policies)
    in_transactions: Callable[[InTransactions], SendingStep] | None = None


def metrics_topics() -> list[str]:
    """Every enabled topic of metrics; the default one where none is defined."""
    found = [topic.name for topic in TopicDefinition.objects.metrics()]
    return found or [f"{settings.GDS_ORGANIZATION}.{naming.METRICS}.production"]


def dead_letter_topics() -> list[str]:
    """Every topic that takes dead letters, those of the topics read now among them."""
    defined = {topic.name for topic in TopicDefinition.objects.dead_letters()}
    return sorted(defined | {naming.dead_letter_topic(topic) for topic in metrics_topics()})


def rules_in_transactions(onward: InTransactions, *, group: str = "gds-alerting") -> SendingStep:
    """The alerting step, whose events go to Kafka in the transactions of their records' offsets."""
    events = TransactionalEvents(onward)
    onward.on_commit = events.committed
    return SendingStep(RulesStep(group=group, sender=events, window=WINDOW), events.placed)


ALERTING = PipelineSpec(
    name="alerting",
    group="gds-alerting",
    topics=metrics_topics,
    decoder=lambda: ValueDecoder(decode_metric, quick=METRIC_DECODER.decode),
    step=lambda: RulesStep(group="gds-alerting", window=WINDOW),
    dead_letter_topic=naming.dead_letter_topic,
    product=Product("alerts", "Alerts", "bell", "alert events", counted="alerts"),
    in_transactions=rules_in_transactions,
)
WAREHOUSE = PipelineSpec(
    name="warehouse",
    group="gds-warehouse",
    topics=metrics_topics,
    decoder=lambda: ValueDecoder(decode_metric, quick=METRIC_DECODER.decode),
    step=lambda: WarehouseStep(group="gds-warehouse"),
    dead_letter_topic=naming.dead_letter_topic,
    product=Product("points", "Warehouse", "database", "points", "every metric, once"),
    policies=Policies(
        batch=BatchPolicy(
            maximum=10_000,
            enough=settings.GDS_WAREHOUSE.batch_messages,
            wait_s=settings.GDS_WAREHOUSE.batch_seconds,
        )
    ),
)
ANALYTICS = PipelineSpec(
    name="analytics",
    group="gds-analytics",
    topics=metrics_topics,
    decoder=lambda: ValueDecoder(decode_metric, quick=METRIC_DECODER.decode),
    step=lambda: AnalyticsStep(group="gds-analytics", window=WINDOW),
    dead_letter_topic=naming.dead_letter_topic,
    product=Product("minutes", "Analytics", "activity", "minutes", "by the minute"),
    # A row is read and written for each series and minute of a batch, so few large batches cost less.
    policies=Policies(batch=BatchPolicy(maximum=10_000, enough=1_000, wait_s=5.0)),
)
# Has no dead letters of its own: a record it can't read is stored raw.
DLQ_INDEX = PipelineSpec(
    name="dlq-index",
    group="gds-dlq-index",
    topics=dead_letter_topics,
    decoder=lambda: RecordDecoder(envelope.decode),
    step=lambda: IndexStep(group="gds-dlq-index"),
    dead_letter_topic=None,
    product=Product("letters", "Dead letters", "inbox", "dead letters", counted="dead_letters"),
)
CATALOG: Mapping[str, PipelineSpec] = {
    spec.name: spec for spec in (ALERTING, WAREHOUSE, ANALYTICS, DLQ_INDEX)
}


def ensure_rows() -> None:
    """The row of every pipeline of this catalogue is there."""
    specs = CATALOG.values()
    services.ensure(
        groups={spec.name: spec.group for spec in specs},
        writes={spec.name: spec.product.writes for spec in specs},
    )


def build(spec: PipelineSpec, *, slot: int) -> ConsumerRuntime:
    """The running object of a consumer, with clients of its own. Raises `WrongClientConfig`."""
    client = kafka_settings()
    onward, step, placed = None, None, None
    if spec.in_transactions is not None and settings.GDS_ALERT_EVENTS == TRANSACTIONAL:
        onward = in_transactions(client, group=spec.group, slot=slot)
        sending = spec.in_transactions(onward)
        step, placed = sending.step, _stored(sending.placed)
    transport = Transport(
        open_source=lambda hooks: open_member(
            client, group=spec.group, slot=slot, hooks=hooks, protocol=settings.GDS_GROUP_PROTOCOL
        ),
        identify=lambda topics: identify(client, topics),
        topic_ids=lambda topics: metadata.topic_ids(client, set(topics), timeout_s=2.0),
        dead_letters=_writer(spec, client, slot),
        onward=onward,
    )
    work = Work(
        decoder=spec.decoder(),
        step=StoredStep(step or spec.step()),
        policies=spec.policies,
        classify=classify_failure,
        placed=placed,
    )
    stores = Stores(StoredFailures(spec.group), StoredHalts(spec.group), StoredClaims(spec.group))
    return ConsumerRuntime(spec.group, transport=transport, work=work, stores=stores)


def _stored(placed: Callable[[Starts], None]) -> Callable[[Starts], None]:
    def told(starts: Starts) -> None:
        with storage():
            placed(starts)

    return told


def identify(client: ClientSettings, topics: Any) -> dict[str, tuple[str, str]]:
    """(cluster id, topic id) of each topic. Raises `TransientError` for one that isn't there yet."""
    wanted = set(topics)
    cluster_id = metadata.cluster_id(client, timeout_s=2.0)
    ids = metadata.topic_ids(client, wanted, timeout_s=2.0)
    missing = sorted(wanted - ids.keys())
    if missing:
        raise TransientError(f"Kafka at {client.bootstrap_servers} doesn't know {', '.join(missing)}")
    return {topic: (cluster_id, ids[topic]) for topic in wanted}


def _writer(spec: PipelineSpec, client: ClientSettings, slot: int) -> DeadLetterWriter | None:
    if spec.dead_letter_topic is None:
        return None
    park = DatabasePark(cluster_id=lambda: metadata.cluster_id(client, timeout_s=2.0))

    def parked(refused: Any) -> None:
        with storage():
            park(refused)

    def producer() -> Producer:
        return new_producer(client, client_id=f"{spec.group}-{slot}-dead-letters")

    return DeadLetterWriter(producer(), topic_for=spec.dead_letter_topic, park=parked, renew=producer)
