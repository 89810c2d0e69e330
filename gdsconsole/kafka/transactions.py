"""All or nothing: records that readers of committed data see together or never."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from confluent_kafka import KafkaException

from gdsconsole.kafka.clients import Producer, unavailable
from gdsconsole.kafka.config import ClientSettings
from gdsconsole.kafka.errors import (
    FailureKind,
    FencedError,
    TransientError,
    classify_kafka,
    describe,
    kafka_error,
)

_ABORT_TIMEOUT_S = 10.0


class TransactionAborted(Exception):
    """The brokers refused the transaction; nothing of it is visible.

    The producer is done for: after a refused record the client library may have lost count of its
    sequence numbers, and its next transaction would be refused for that.
    """


class TransactionOutcomeUnknown(TransientError):
    """The brokers were not heard from after the commit was asked for: all is visible, or nothing."""


def init_transactions(producer: Producer, settings: ClientSettings, *, timeout_s: float = 30.0) -> None:
    """Once for a producer, before its first transaction; raises `KafkaUnavailable`."""
    try:
        _until_done(producer.init_transactions, time.monotonic() + timeout_s)
    except KafkaException as error:
        raise unavailable(error, settings) from error


@contextmanager
def transaction(producer: Producer, *, timeout_s: float = 30.0) -> Iterator[None]:
    """Commit what the block produces, or abort it when the block raises; its exception passes.

    Raises `TransactionAborted` or `FencedError` when nothing will be visible, and
    `TransactionOutcomeUnknown` when the commit wasn't answered within `timeout_s`.
    """
    producer.begin_transaction()
    try:
        yield
    except BaseException:
        _abort(producer)
        raise
    try:
        _until_done(producer.commit_transaction, time.monotonic() + timeout_s)
    except KafkaException as error:
        raise _failed(producer, error) from error


def _failed(producer: Producer, error: KafkaException) -> Exception:
    cause = kafka_error(error)
    if cause is not None and cause.txn_requires_abort():
        _abort(producer)
        return TransactionAborted(describe(cause))
    if cause is not None and classify_kafka(cause) is FailureKind.FENCED:
        return FencedError(describe(cause))
    return TransactionOutcomeUnknown(describe(cause) if cause is not None else str(error))


def _abort(producer: Producer) -> None:
    # An abort that the brokers don't hear of happens without it, when the transaction times out there.
    with suppress(KafkaException):
        _until_done(producer.abort_transaction, time.monotonic() + _ABORT_TIMEOUT_S)


def _until_done(call: Callable[[float], None], deadline: float) -> None:
    """Make a transactional call again while the client says that it may be."""
    while True:
        try:
            return call(max(0.1, deadline - time.monotonic()))
        except KafkaException as error:
            cause = kafka_error(error)
            if cause is None or not cause.retriable() or time.monotonic() >= deadline:
                raise
