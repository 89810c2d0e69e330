"""What can go wrong with Kafka, and what the runtime may do about it.

The kind of a failure decides what happens to the record: see `FailureKind`.
"""

from __future__ import annotations

from enum import Enum

from confluent_kafka import KafkaError, KafkaException


class InvalidMessage(Exception):
    """A record that can never be processed. `reason` names the field; it holds no payload."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TransientError(Exception):
    """Something the record can't be blamed for: the same record will pass once it is over."""


class KafkaUnavailable(TransientError):
    """No broker answered in time."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"Kafka at {address} is unreachable: {reason}")
        self.address = address
        self.reason = reason


class FencedError(Exception):
    """Another holder has taken over: whatever is buffered must be dropped, nothing more written."""


class MemberNotReleased(TransientError):
    """The group still has this slot's last member, which didn't leave: a session has to run out first."""


class WrongClientConfig(ValueError):
    """A client property that can't be used; the message names it and the variable it came from."""


class UnknownTopic(Exception):
    """The cluster has no such topic."""

    def __init__(self, topic: str, address: str) -> None:
        super().__init__(f"topic {topic!r} does not exist on Kafka at {address}")
        self.topic = topic
        self.address = address


class DeadLettersNotWritten(Exception):
    """Dead letters were not acknowledged, so nothing may be committed past their records.

    `transient` says whether an outage is the cause (try again) or the cluster refuses them (halt).
    """

    def __init__(self, count: int, reason: str, *, transient: bool) -> None:
        super().__init__(f"{count} dead letter(s) not acknowledged: {reason}")
        self.count = count
        self.reason = reason
        self.transient = transient


class FailureKind(Enum):
    """What a failure means for the record that met it."""

    POISON = "poison"
    """Dead-letter at once: trying again can't help."""
    TRANSIENT = "transient"
    """Retry for ever, paused: an outage never fills the dead letter topic."""
    FENCED = "fenced"
    """Drop what is buffered and rejoin: the partition belongs to someone else now."""
    UNKNOWN = "unknown"
    """Retry a bounded number of times, then dead-letter."""


_FENCED_CODES = frozenset(
    {
        KafkaError._FENCED,
        KafkaError._ASSIGNMENT_LOST,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.FENCED_MEMBER_EPOCH,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.PRODUCER_FENCED,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError.TRANSACTION_COORDINATOR_FENCED,
        KafkaError.UNKNOWN_MEMBER_ID,
    }
)
# `retriable()` is set by librdkafka on transactional calls alone, so the codes are named here too.
_TRANSIENT_CODES = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._DESTROY,
        KafkaError._DESTROY_BROKER,
        KafkaError._ISR_INSUFF,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._PREV_IN_PROGRESS,
        KafkaError._PURGE_INFLIGHT,
        KafkaError._PURGE_QUEUE,
        KafkaError._QUEUE_FULL,
        KafkaError._RESOLVE,
        KafkaError._RETRY,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._TRANSPORT,
        KafkaError._WAIT_CACHE,
        KafkaError._WAIT_COORD,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.CONCURRENT_TRANSACTIONS,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.INCONSISTENT_TOPIC_ID,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.NOT_CONTROLLER,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.THROTTLING_QUOTA_EXCEEDED,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
    }
)
# A broker judges a whole batch: one record that it refuses fails its neighbours with the same code.
_JUDGED_BY_BATCH = frozenset(
    {
        KafkaError._INVALID_DIFFERENT_RECORD,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
    }
)


def is_judged_by_batch(error: KafkaError) -> bool:
    """Whether a failed delivery may be a neighbour's fault: sent alone, a record is judged itself."""
    return error.code() in _JUDGED_BY_BATCH


def classify_kafka(error: KafkaError) -> FailureKind:
    """The kind of a librdkafka error code."""
    code = error.code()
    if code in _FENCED_CODES:
        return FailureKind.FENCED
    if code in _TRANSIENT_CODES or error.retriable():
        return FailureKind.TRANSIENT
    return FailureKind.UNKNOWN


def classify(error: BaseException, *, transient: tuple[type[BaseException], ...] = ()) -> FailureKind:
    """The kind of an exception met while processing.

    `transient` lists the exceptions of the stores in use (a locked database, Redis gone), which
    this package doesn't know.
    """
    if isinstance(error, InvalidMessage):
        return FailureKind.POISON
    if isinstance(error, FencedError):
        return FailureKind.FENCED
    if isinstance(error, KafkaException):
        cause = kafka_error(error)
        return classify_kafka(cause) if cause is not None else FailureKind.UNKNOWN
    if isinstance(error, DeadLettersNotWritten):
        return FailureKind.TRANSIENT if error.transient else FailureKind.UNKNOWN
    if isinstance(error, (TransientError, ConnectionError, TimeoutError, BufferError, *transient)):
        return FailureKind.TRANSIENT
    return FailureKind.UNKNOWN


def kafka_error(error: KafkaException) -> KafkaError | None:
    """The `KafkaError` inside the exception, or None where librdkafka gave only a text."""
    cause = error.args[0] if error.args else None
    return cause if isinstance(cause, KafkaError) else None


def describe(error: KafkaError) -> str:
    """One line for people: librdkafka's text and the code's name."""
    return f"{error.str()} ({error.name()})"


def is_fatal(error: KafkaError) -> bool:
    """Whether the client is of no use any more. Those it hands out as events aren't marked as fatal."""
    return error.fatal() or error.code() in {KafkaError._FATAL, KafkaError.FENCED_INSTANCE_ID}


def ended_by(error: KafkaError) -> Exception:
    """What a fatal client error is raised as. The client hides a fenced member's code in the text."""
    if classify_kafka(error) is FailureKind.FENCED or "fenced" in error.str().lower():
        return FencedError(describe(error))
    if KafkaError(KafkaError.UNRELEASED_INSTANCE_ID).str() in error.str():
        return MemberNotReleased("the group still holds the place of this slot's last consumer")
    return KafkaException(error)
