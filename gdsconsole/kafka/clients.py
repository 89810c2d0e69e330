"""What the console asks of a Kafka client, and the builders of the real ones.

`Record`, `Source` and `Producer` are confluent_kafka's own method surface, so the hot path uses its
objects as they are and a fake can stand in for them.

Clients are made inside the process that uses them, never at import and never before a fork: a
child that used its parent's producer delivered nothing, and one that merely freed it crashed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from gdsconsole.kafka.config import (
    ClientSettings,
    ConfigValue,
    Profile,
    consumer_config,
    names_of,
    producer_config,
    variable,
)
from gdsconsole.kafka.errors import KafkaUnavailable, UnknownTopic, WrongClientConfig, kafka_error

Headers = list[tuple[str, bytes | None]]
DeliveryCallback = Callable[[KafkaError | None, "Record"], None]
RebalanceCallback = Callable[[Any, list[TopicPartition]], None]

# librdkafka's own lines (connections, rebalances), handed over when the client is polled.
CLIENT_LOG = logging.getLogger("gdsconsole.kafka.client")


def quiet_client(verbosity: int) -> None:
    """Keep the client library's reconnect lines from a command's output, unless it is asked to tell more.

    What they say comes as one line naming the service, when the command gives up.
    """
    if verbosity < 2:
        CLIENT_LOG.setLevel(logging.CRITICAL)


class Record(Protocol):
    """A consumed record, or in its place an event that has an `error()`."""

    def topic(self) -> str | None: ...
    def partition(self) -> int | None: ...
    def offset(self) -> int | None: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def headers(self) -> Any: ...
    def timestamp(self) -> tuple[int, int]: ...
    def error(self) -> KafkaError | None: ...


class Source(Protocol):
    """A consumer in a group. Only `consume`, `poll`, synchronous `commit` and `close` may block."""

    def subscribe(
        self,
        topics: list[str],
        on_assign: RebalanceCallback = ...,
        on_revoke: RebalanceCallback = ...,
        on_lost: RebalanceCallback = ...,
    ) -> None: ...
    def unsubscribe(self) -> None: ...
    def consume(self, num_messages: int = ..., timeout: float = ...) -> list[Any]: ...
    def poll(self, timeout: float = ...) -> Any: ...
    def assign(self, partitions: list[TopicPartition]) -> None: ...
    def unassign(self) -> None: ...
    def incremental_assign(self, partitions: list[TopicPartition]) -> None: ...
    def incremental_unassign(self, partitions: list[TopicPartition]) -> None: ...
    def assignment(self) -> list[TopicPartition]: ...
    def commit(self, *, offsets: list[TopicPartition], asynchronous: Any) -> Any: ...
    def committed(self, partitions: list[TopicPartition], timeout: float = ...) -> list[TopicPartition]: ...
    def position(self, partitions: list[TopicPartition]) -> list[TopicPartition]: ...
    def pause(self, partitions: list[TopicPartition]) -> None: ...
    def resume(self, partitions: list[TopicPartition]) -> None: ...
    def seek(self, partition: TopicPartition) -> None: ...
    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float = ..., cached: bool = ...
    ) -> tuple[int, int]: ...
    def list_topics(self, topic: str | None = ..., timeout: float = ...) -> Any: ...
    def consumer_group_metadata(self) -> Any: ...
    def memberid(self) -> str: ...
    def close(self) -> None: ...


class Producer(Protocol):
    """A producer. `produce` never blocks: it raises `BufferError` when the queue is full."""

    def produce(
        self,
        topic: str,
        value: bytes | None = ...,
        key: bytes | None = ...,
        partition: int = ...,
        *,
        on_delivery: Any = ...,
        timestamp: int = ...,
        headers: Any = ...,
    ) -> None: ...
    def produce_batch(
        self, topic: str, messages: list[dict[str, Any]], partition: int = ..., *, on_delivery: Any = ...
    ) -> int: ...
    def poll(self, timeout: float = ...) -> int: ...
    def flush(self, timeout: float = ...) -> int: ...
    def purge(self, in_queue: bool = ..., in_flight: bool = ..., blocking: bool = ...) -> None: ...
    def list_topics(self, topic: str | None = ..., timeout: float = ...) -> Any: ...
    def init_transactions(self, timeout: float = ...) -> None: ...
    def begin_transaction(self) -> None: ...
    def send_offsets_to_transaction(
        self, positions: list[TopicPartition], group_metadata: Any, timeout: float = ...
    ) -> None: ...
    def commit_transaction(self, timeout: float = ...) -> None: ...
    def abort_transaction(self, timeout: float = ...) -> None: ...
    def __len__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class ClientHooks:
    """Called from `poll`/`consume`/`flush`, on the thread that calls them; they must not raise.

    `on_error` gets librdkafka's client-wide errors (all brokers down, authentication refused), which
    it recovers from by itself unless `error.fatal()`. `on_stats` gets the JSON text asked for by
    `statistics.interval.ms`. `on_commit` gets the outcome of each asynchronous commit.
    """

    on_error: Callable[[KafkaError], None] | None = None
    on_throttle: Callable[[Any], None] | None = None
    on_stats: Callable[[str], None] | None = None
    on_commit: Callable[[KafkaError | None, list[TopicPartition]], None] | None = None

    def as_config(self) -> dict[str, Any]:
        named = {
            "error_cb": self.on_error or _log_error,
            "throttle_cb": self.on_throttle,
            "stats_cb": self.on_stats,
            "on_commit": self.on_commit,
        }
        return {name: hook for name, hook in named.items() if hook is not None}


class LastError:
    """A hook for `ClientHooks.on_error` that keeps why the brokers can't be reached, as of last."""

    def __init__(self) -> None:
        self.reason: str | None = None

    def __call__(self, error: KafkaError) -> None:
        # That all brokers are down is told after why each of them is.
        if error.code() != KafkaError._ALL_BROKERS_DOWN or self.reason is None:
            self.reason = error.str()


def new_producer(
    settings: ClientSettings,
    *,
    profile: Profile = "console",
    client_id: str = "telemetry-producer",
    hooks: ClientHooks | None = None,
    **extra: ConfigValue,
) -> Producer:
    """A producer; it connects in the background, so a broker that is down shows only in deliveries.

    Raises `WrongClientConfig` for a value librdkafka refuses.
    """
    config = producer_config(settings, profile=profile, client_id=client_id, **extra)
    callbacks = (hooks or ClientHooks()).as_config()
    callbacks.pop("on_commit", None)
    return cast(Producer, _made(confluent_kafka.Producer, config, callbacks, settings))


def new_consumer(
    settings: ClientSettings,
    *,
    group_id: str,
    client_id: str | None = None,
    hooks: ClientHooks | None = None,
    **extra: ConfigValue,
) -> Source:
    """A consumer of the group, not yet subscribed. Raises `WrongClientConfig` as `new_producer`."""
    config = consumer_config(settings, group_id=group_id, client_id=client_id, **extra)
    callbacks = (hooks or ClientHooks()).as_config()
    return cast(Source, _made(confluent_kafka.Consumer, config, callbacks, settings))


def require_topic(
    client: Producer | Source,
    topic: str,
    settings: ClientSettings,
    *,
    timeout_s: float = 10.0,
    because: LastError | None = None,
) -> int:
    """The topic's partition count; raises `KafkaUnavailable` or `UnknownTopic`, naming the address.

    `because`, when it is the client's error hook, knows the reason: a refused password looks like
    a timeout otherwise. All topics are listed: asking for one by name would create it where brokers
    allow that.
    """
    try:
        metadata = client.list_topics(timeout=timeout_s)
    except KafkaException as error:
        client.poll(0)  # serves the hook
        if because is not None and because.reason is not None:
            raise KafkaUnavailable(settings.bootstrap_servers, because.reason) from error
        raise unavailable(error, settings) from error
    found = metadata.topics.get(topic)
    if found is None or found.error is not None:
        raise UnknownTopic(topic, settings.bootstrap_servers)
    return len(found.partitions)


def unavailable(error: KafkaException, settings: ClientSettings) -> KafkaUnavailable:
    """The one-line form of a client's failure to reach the cluster."""
    cause = kafka_error(error)
    reason = cause.str() if cause is not None else str(error)
    return KafkaUnavailable(settings.bootstrap_servers, reason)


def _log_error(error: KafkaError) -> None:
    CLIENT_LOG.log(logging.ERROR if error.fatal() else logging.WARNING, "%s: %s", error.name(), error.str())


def _made(
    kind: Callable[..., Any],
    config: Mapping[str, ConfigValue],
    callbacks: Mapping[str, Any],
    settings: ClientSettings,
) -> Any:
    try:
        return kind({**config, **callbacks}, logger=CLIENT_LOG)
    except KafkaException as error:
        cause = kafka_error(error)
        reason = (cause.str() if cause is not None else str(error)).strip()
        blamed = [name for name in settings.overrides if any(word in reason for word in names_of(name))]
        variables = ", ".join(variable(name) for name in blamed or settings.overrides)
        raise WrongClientConfig(f"{variables}: {reason}" if variables else reason) from error
