"""Consumer groups: who is in them, what they committed, and how far the logs reach.

Unknown is None with a reason, never zero. What asks a coordinator runs in `group_reader.py`.
"""

from __future__ import annotations

import logging
import os
import select
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]  # public, not in its __all__

from gdsconsole.kafka.cluster import group_reader
from gdsconsole.kafka.cluster.admin_client import REQUEST_TIMEOUT_S, admin_client, answer, answers
from gdsconsole.kafka.cluster.group_reader import GroupAnswer
from gdsconsole.kafka.config import ClientSettings, admin_config
from gdsconsole.kafka.errors import describe, kafka_error
from gdsconsole.kafka.offsets.start_offsets import labelled

logger = logging.getLogger(__name__)

Coordinates = tuple[str, int]  # topic, partition

# A new reader asks anew who coordinates; more than this, and the coordinators are still moving.
_ATTEMPTS = 3
# The reader bounds its own waiting; past this it hangs and is ended.
_READER_GRACE_S = 3.0
_EARLIEST: Any = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: Any = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_UNCOMMITTED, _COMMITTED = IsolationLevel.READ_UNCOMMITTED, IsolationLevel.READ_COMMITTED
_STATES = {
    "STABLE": "Stable",
    "EMPTY": "Empty",
    "DEAD": "Dead",
    "PREPARING_REBALANCING": "PreparingRebalance",
    "COMPLETING_REBALANCING": "CompletingRebalance",
    "ASSIGNING": "Assigning",
    "RECONCILING": "Reconciling",
}
UNKNOWN_STATE = "Unknown"


@dataclass(frozen=True, slots=True)
class ListedGroup:
    group: str
    state: str  # Kafka's name: Stable, Empty, ...; Unknown where the broker doesn't say
    is_simple: bool  # commits by hand-assigned consumers alone, so it may read a part of a topic


@dataclass(frozen=True, slots=True)
class GroupListing:
    groups: tuple[ListedGroup, ...]
    incomplete: str | None  # why groups may be missing: a broker that coordinates some didn't answer


@dataclass(frozen=True, slots=True)
class Member:
    member_id: str
    client_id: str
    host: str
    instance_id: str | None
    assigned: tuple[Coordinates, ...]


@dataclass(frozen=True, slots=True)
class Group:
    group: str
    state: str
    assignor: str | None
    members: tuple[Member, ...] | None  # None: not read
    committed: Mapping[Coordinates, int] | None  # None: not read; a partition without a commit is absent
    error: str | None  # why something is None
    # The id of the topic that a commit was made for, where that was written down with it.
    topic_ids: Mapping[Coordinates, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LogRange:
    """What a partition holds. None, with `error`, where its leader gave no answer.

    A stable end below the high watermark is held there by a transaction that is open.
    """

    log_start: int | None
    stable_end: int | None  # last stable offset: how far a read_committed consumer can get
    high_watermark: int | None  # how far a read_uncommitted one can
    error: str | None = None


def list_groups(settings: ClientSettings, *, timeout_s: float = REQUEST_TIMEOUT_S) -> GroupListing:
    """Every consumer group. Raises `KafkaUnavailable`."""
    future = admin_client(settings).list_consumer_groups(request_timeout=timeout_s)
    result = answer(future, settings, timeout_s=timeout_s)
    # Brokers that failed are in `errors`; without a look there an outage would read as "no groups".
    failed = [error for error in result.errors or () if isinstance(error, (KafkaError, KafkaException))]
    reasons = sorted({_text(error) for error in failed})
    return GroupListing(
        groups=tuple(
            ListedGroup(
                listed.group_id,
                _STATES.get(listed.state.name, UNKNOWN_STATE) if listed.state else UNKNOWN_STATE,
                bool(listed.is_simple_consumer_group),
            )
            # A name ends at its NUL here, so that two may look alike.
            for _, listed in sorted({listed.group_id: listed for listed in result.valid or ()}.items())
        ),
        incomplete="; ".join(reasons) or None,
    )


def read_groups(
    settings: ClientSettings, names: Sequence[str], *, timeout_s: float = REQUEST_TIMEOUT_S
) -> dict[str, Group]:
    """Commits and members of these groups; a group that couldn't be read says why in `error`."""
    read = {name: _unread(name, "not asked in time") for name in names}
    # By how often it was asked for: what ends the reader is asked for again in halves, so that a group
    # which ends it each time leaves no other one unread.
    waiting = deque([(list(read), _ATTEMPTS)] if read else [])
    deadline = time.monotonic() + timeout_s
    while waiting and (left_s := deadline - time.monotonic()) > 0:
        asked, tries = waiting.popleft()
        answered = _reader(settings).ask(asked, timeout_s=left_s)
        if answered is None:
            reason = "the group's coordinator is moving to another broker"
            read.update({name: _unread(name, reason) for name in asked})
            waiting.extend((half, tries - (len(asked) == 1)) for half in _halves(asked) if tries > 1)
            continue
        read.update({got.group: _group(got) for got in answered})
        stale = [got.group for got in answered if got.is_stale]
        if stale:
            _reader(settings).stop()
        if stale and tries > 1:
            waiting.append((stale, tries - 1))
    return read


def _halves(names: list[str]) -> list[list[str]]:
    middle = (len(names) + 1) // 2
    return [half for half in (names[:middle], names[middle:]) if half]


def read_log_ranges(
    settings: ClientSettings,
    partitions: Collection[Coordinates],
    *,
    timeout_s: float = REQUEST_TIMEOUT_S,
) -> dict[Coordinates, LogRange]:
    """Log start and both ends of each partition; one that does not exist is left out.

    Raises `KafkaUnavailable` when no leader answered.
    """
    if not partitions:
        return {}
    ranges, stale = _log_ranges(settings, partitions, timeout_s)
    if stale:
        # A client keeps the partition count it knew, for minutes, until asked for that very topic.
        for topic in sorted({topic for topic, _ in stale}):
            with suppress(KafkaException):
                admin_client(settings).list_topics(topic, timeout=timeout_s)
        again, _ = _log_ranges(settings, stale, timeout_s)
        ranges |= again
    return ranges


def _log_ranges(
    settings: ClientSettings, partitions: Collection[Coordinates], timeout_s: float
) -> tuple[dict[Coordinates, LogRange], set[Coordinates]]:
    # First the high watermark, then the stable end: one that is still lower is held by a transaction,
    # where two asked for together would differ by what was written in between.
    highs, failed = _ends(settings, {"high": (_LATEST, _UNCOMMITTED)}, partitions, timeout_s)
    asked = {"start": (_EARLIEST, _UNCOMMITTED), "stable": (_LATEST, _COMMITTED)}
    answered = [part for part in partitions if part not in failed]
    rest, failed_later = _ends(settings, asked, answered, timeout_s)
    failed |= failed_later
    ranges: dict[Coordinates, LogRange] = {}
    for part in partitions:
        error = failed.get(part)
        if error is None:
            ranges[part] = _range(rest["start", part], rest["stable", part], highs["high", part])
        elif error.code() not in {KafkaError._UNKNOWN_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART}:
            ranges[part] = LogRange(None, None, None, error=describe(error))
    stale = {part for part, error in failed.items() if error.code() == KafkaError._UNKNOWN_PARTITION}
    return ranges, stale


def _ends(
    settings: ClientSettings,
    asked: Mapping[str, tuple[Any, IsolationLevel]],
    partitions: Collection[Coordinates],
    timeout_s: float,
) -> tuple[dict[tuple[str, Coordinates], int], dict[Coordinates, KafkaError]]:
    """The offset of each kind and partition, and the errors of partitions."""
    if not partitions:
        return {}, {}
    client = admin_client(settings)
    wanted = [TopicPartition(topic, partition) for topic, partition in partitions]
    futures: dict[tuple[str, Coordinates], Future[Any]] = {}
    for kind, (spec, isolation) in asked.items():
        answers_of = client.list_offsets(
            dict.fromkeys(wanted, spec), isolation_level=isolation, request_timeout=timeout_s
        )
        futures |= {(kind, (part.topic, part.partition)): future for part, future in answers_of.items()}
    found, failed = answers(futures, settings, timeout_s=timeout_s)
    return (
        {key: result.offset for key, result in found.items()},
        {part: error for (_, part), error in failed.items()},
    )


def _range(log_start: int, stable_end: int, high_watermark: int) -> LogRange:
    if min(log_start, stable_end, high_watermark) < 0:
        # -1001 without an error is what librdkafka answers for a partition that nobody leads.
        return LogRange(None, None, None, error="no broker leads the partition")
    return LogRange(log_start, stable_end, max(stable_end, high_watermark))


def _group(got: GroupAnswer) -> Group:
    return Group(
        group=got.group,
        state=_STATES.get(got.state or "", UNKNOWN_STATE),
        assignor=got.assignor or None,
        members=None
        if got.members is None
        else tuple(
            Member(m.member_id, m.client_id, m.host, m.instance_id, tuple(m.assigned)) for m in got.members
        ),
        committed=None
        if got.committed is None
        else {(topic, partition): offset for topic, partition, offset, _ in got.committed},
        error=got.error,
        topic_ids={
            (topic, partition): topic_id
            for topic, partition, _, metadata in got.committed or ()
            if (topic_id := labelled(metadata)) is not None
        },
    )


def _unread(name: str, reason: str) -> Group:
    return Group(name, UNKNOWN_STATE, None, None, None, reason)


def _text(error: KafkaError | KafkaException) -> str:
    cause = kafka_error(error) if isinstance(error, KafkaException) else error
    return describe(cause) if cause is not None else str(error)


class _Reader:
    """The running `group_reader.py`; started when asked, one question at a time."""

    def __init__(self, settings: ClientSettings) -> None:
        self._config = {"log_level": 0, **admin_config(settings)}
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def ask(self, groups: Sequence[str], *, timeout_s: float) -> list[GroupAnswer] | None:
        """The answers, or None when the process ended instead."""
        request = group_reader.Request(self._config, list(groups), timeout_s)
        body = msgspec.msgpack.encode(request)
        with self._lock:
            reply = _exchange(self._started(), body, timeout_s + _READER_GRACE_S)
            if reply is None:
                self._stop()
                return None
        return msgspec.msgpack.decode(reply, type=list[GroupAnswer])

    def stop(self) -> None:
        with self._lock:
            self._stop()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is not None:
            self._stop()
        if self._process is None:
            # -P: run as a file, its directory would otherwise hide modules of the same names.
            command = [sys.executable, "-P", str(group_reader.__file__)]
            self._process = subprocess.Popen(  # noqa: S603  # nothing in it comes from outside
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        return self._process

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for stream in (process.stdin, process.stdout):
            with suppress(OSError):
                if stream is not None:
                    stream.close()
        process.kill()
        code = process.wait()
        if code < 0 and code != -9:
            logger.warning(
                "the group reader ended by signal %d, as librdkafka does when coordinators move", -code
            )


def _exchange(process: subprocess.Popen[bytes], body: bytes, timeout_s: float) -> bytes | None:
    if process.stdin is None or process.stdout is None:
        return None
    try:
        group_reader.write_frame(process.stdin, body)
    except BrokenPipeError:
        return None
    ready, _, _ = select.select([process.stdout], [], [], timeout_s)
    return group_reader.read_frame(process.stdout) if ready else None


_readers: dict[tuple[int, str, frozenset[tuple[str, str]]], _Reader] = {}


def _reader(settings: ClientSettings) -> _Reader:
    key = (os.getpid(), settings.bootstrap_servers, frozenset(settings.overrides.items()))
    return _readers.setdefault(key, _Reader(settings))
