"""One long-lived admin client a process, and its futures' answers in the console's terms.

An AdminClient that is collected while a future is pending fails it with `_DESTROY`, so a client is
kept for as long as its process lives. After a fork the child makes its own and never frees its
parent's: freeing it crashed every child that did.

Nothing here may ask a group coordinator: those calls belong to `group_reader.py`, which says why.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotDone
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, but not in its __all__
    AdminClient,
    ClusterMetadata,
)

from gdsconsole.kafka.config import ClientSettings, admin_config
from gdsconsole.kafka.errors import KafkaUnavailable, kafka_error

K = TypeVar("K")
T = TypeVar("T")

# How long a broker may take to answer. Pages, commands and samplers wait for it, so it is short.
REQUEST_TIMEOUT_S = 5.0
# librdkafka ends every future itself at its request timeout; this is for one it should lose.
_GRACE_S = 2.0

_UNREACHABLE = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._AUTHENTICATION,
        KafkaError._DESTROY,
        KafkaError._RESOLVE,
        KafkaError._SSL,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._TRANSPORT,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.REQUEST_TIMED_OUT,
    }
)

_clients: dict[tuple[int, str, frozenset[tuple[str, str]]], AdminClient] = {}
_lock = threading.Lock()
# A fork while another thread holds the lock would leave the child's copy locked for ever.
os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def admin_client(settings: ClientSettings) -> AdminClient:
    """This process's admin client for these settings; made on the first call, connects by itself."""
    key = (os.getpid(), settings.bootstrap_servers, frozenset(settings.overrides.items()))
    with _lock:
        client = _clients.get(key)
        if client is None:
            # Every failure reaches the caller as an exception; librdkafka's own lines on stderr say
            # the same again, once a broker and attempt.
            config = {"log_level": 0, **admin_config(settings)}
            client = _clients[key] = AdminClient(config)
        return client


def metadata(settings: ClientSettings, *, timeout_s: float = REQUEST_TIMEOUT_S) -> ClusterMetadata:
    """Brokers, topics, leaders and replicas, from whichever broker answers.

    Also tells the client which brokers live and where to send what needs a controller: until it
    knows, such a call waits for a dead broker until it times out. Raises `KafkaUnavailable`.
    """
    client = admin_client(settings)
    half_s = timeout_s / 2
    try:
        try:
            return client.list_topics(timeout=half_s)
        except KafkaException:
            # The broker it had picked died with the request; the next attempt picks another.
            return client.list_topics(timeout=half_s)
    except KafkaException as error:
        raise unavailable(error, settings) from error


def answer(future: Future[T], settings: ClientSettings, *, timeout_s: float = REQUEST_TIMEOUT_S) -> T:
    """The future's result. Raises `KafkaUnavailable` when no broker answered, `KafkaException` when
    one refused."""
    try:
        return future.result(timeout_s + _GRACE_S)
    except NotDone as error:
        raise KafkaUnavailable(settings.bootstrap_servers, f"no answer in {timeout_s:g} s") from error
    except KafkaException as error:
        if is_unreachable(error):
            raise unavailable(error, settings) from error
        raise


def answers(
    futures: Mapping[K, Future[T]], settings: ClientSettings, *, timeout_s: float = REQUEST_TIMEOUT_S
) -> tuple[dict[K, T], dict[K, KafkaError]]:
    """The results and the errors of futures in flight together, by their keys.

    Raises `KafkaUnavailable` when there are futures and each failed for want of an answer.
    """
    deadline = time.monotonic() + timeout_s + _GRACE_S
    found: dict[K, T] = {}
    failed: dict[K, KafkaError] = {}
    unreachable: KafkaUnavailable | None = None
    for key, future in futures.items():
        try:
            found[key] = answer(future, settings, timeout_s=max(0.0, deadline - time.monotonic()))
        except KafkaUnavailable as error:
            unreachable = error
            failed[key] = KafkaError(KafkaError._TIMED_OUT, error.reason)
        except KafkaException as error:
            failed[key] = kafka_error(error) or KafkaError(KafkaError._FAIL, str(error))
    if unreachable is not None and not found and _all_timed_out(failed):
        raise unreachable
    return found, failed


def is_unreachable(error: KafkaException) -> bool:
    """Whether it means that no broker answered, rather than that one said no."""
    cause = kafka_error(error)
    return cause is not None and cause.code() in _UNREACHABLE


def unavailable(error: KafkaException, settings: ClientSettings) -> KafkaUnavailable:
    """The one-line form of a failure to reach the cluster."""
    cause = kafka_error(error)
    return KafkaUnavailable(settings.bootstrap_servers, cause.str() if cause is not None else str(error))


def _all_timed_out(failed: Mapping[K, KafkaError]) -> bool:
    return all(error.code() == KafkaError._TIMED_OUT for error in failed.values())
