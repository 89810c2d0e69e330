"""All or nothing: records that readers of committed data see together or never."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

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

_ABORT_TIMEOUT_S = 2.0
# How much longer than its timeout a call may take before it is given up.
_GRACE_S = 1.0


class TransactionAborted(Exception):
    """The brokers refused the transaction; nothing of it is visible.

    The producer is done for: after a refused record the client library may have lost count of its
    sequence numbers, and its next transaction would be refused for that. `cause` is the client's error.
    """

    def __init__(self, reason: str, cause: KafkaError | None = None) -> None:
        super().__init__(reason)
        self.cause = cause


class TransactionOutcomeUnknown(TransientError):
    """The brokers were not heard from after the commit was asked for: all is visible, or nothing."""


def init_transactions(producer: Producer, settings: ClientSettings, *, timeout_s: float = 30.0) -> None:
    """Once for a producer, before its first transaction; raises `KafkaUnavailable`."""
    try:
        until_done(producer.init_transactions, time.monotonic() + timeout_s)
    except KafkaException as error:
        raise unavailable(error, settings) from error


def may_go_on(error: TransientError) -> bool:
    """Whether the producer whose `init_transactions` failed so can be asked to go on with it."""
    failure = error.__cause__
    cause = kafka_error(failure) if isinstance(failure, KafkaException) else None
    return cause is not None and cause.retriable()


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
        abort(producer)
        raise
    commit(producer, timeout_s=timeout_s)


def commit(producer: Producer, *, timeout_s: float) -> None:
    """Commit the open transaction; raises as `transaction` does, having aborted what had to be."""
    try:
        until_done(producer.commit_transaction, time.monotonic() + timeout_s)
    except KafkaException as error:
        raise _not_committed(producer, error) from error


def send_offsets(producer: Producer, offsets: list[TopicPartition], member: Any, *, timeout_s: float) -> None:
    """Make a consumer's offsets part of the open transaction.

    `member` is the consumer's group metadata: a member that is no longer of the group is refused.
    Raises `TransactionAborted` or `FencedError`.

    librdkafka doesn't hold this call's timeout (its #5456): once metadata no longer lists the broker that it
    has for the group's coordinator, the call waits for good, also when that broker is back. So it is made in
    a thread of its own, which is left to its fate with the producer; the next of the same transactional id
    fences that.
    """

    def send(timeout: float) -> None:
        sending = _in_thread(lambda: producer.send_offsets_to_transaction(offsets, member, timeout))
        try:
            sending.result(timeout + _GRACE_S)
        except TimeoutError:
            raise TransactionAborted(f"its offsets were not taken within {timeout:g} s") from None

    try:
        until_done(send, time.monotonic() + timeout_s)
    except KafkaException as error:
        raise failed(producer, error) from error


def _not_committed(producer: Producer, error: KafkaException) -> Exception:
    cause = kafka_error(error)
    if cause is not None and not cause.txn_requires_abort() and not _is_fenced(cause):
        return TransactionOutcomeUnknown(describe(cause))
    return failed(producer, error)


def failed(producer: Producer, error: KafkaException) -> Exception:
    """What a failure before the commit is raised as; the transaction is aborted by then."""
    cause = kafka_error(error)
    if cause is not None and not cause.txn_requires_abort() and _is_fenced(cause):
        return FencedError(describe(cause))
    abort(producer)
    return TransactionAborted(describe(cause) if cause is not None else str(error), cause)


def _is_fenced(error: KafkaError) -> bool:
    return classify_kafka(error) is FailureKind.FENCED


def abort(producer: Producer, *, timeout_s: float = _ABORT_TIMEOUT_S) -> None:
    """Abort the open transaction; if that fails, the brokers do it when the transaction times out."""
    with suppress(KafkaException):
        until_done(producer.abort_transaction, time.monotonic() + timeout_s)


def _in_thread(call: Callable[[], None]) -> Future[None]:
    """Make the call in a thread that doesn't keep the process from ending."""
    future: Future[None] = Future()

    def run() -> None:
        try:
            call()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(None)

    threading.Thread(target=run, name="transaction-offsets", daemon=True).start()
    return future


def until_done(
    call: Callable[[float], None], deadline: float, *, clock: Callable[[], float] = time.monotonic
) -> None:
    """Make a transactional call again while the client says that it may be, until `deadline` by the clock.

    The call is given the seconds that are left, and at least 0.1. Raises its last `KafkaException`.
    """
    while True:
        try:
            return call(max(0.1, deadline - clock()))
        except KafkaException as error:
            cause = kafka_error(error)
            if cause is None or not cause.retriable() or clock() >= deadline:
                raise
