"""The program that asks group coordinators, in a process of its own because asking can crash it.

librdkafka 2.16 ends its process when a coordinator moves while an admin client waits for it: a
segfault in its OffsetFetch handler on NOT_COORDINATOR, an assertion (`eonce->refcnt > 0`) for any
coordinator call when its broker dies. Both happened within 10 s of restarting brokers one by one,
which is when lag matters most. `groups.py` runs this, and starts it again when it ends.

Requests and replies are msgpack frames over stdin and stdout, each after its length in four bytes.
The process ends by itself when stdin closes or nothing is asked for a minute. It is run as a file,
so it imports nothing of the console and starts in a tenth of a second.
"""

from __future__ import annotations

import os
import select
import signal
import struct
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import IO, Any

import msgspec
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

IDLE_S = 60.0
_GRACE_S = 1.0
_MOST_REASON = 200
_LENGTH = struct.Struct(">I")

# The client's idea of who coordinates a group is wrong, or its connection just broke: a new client
# asks again.
_STALE = frozenset({KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError._TRANSPORT})


class Request(msgspec.Struct, array_like=True, frozen=True):
    config: dict[str, str | int | float | bool]  # of the admin client; the same in every request
    groups: list[str]
    timeout_s: float


class MemberAnswer(msgspec.Struct, array_like=True, frozen=True):
    member_id: str
    client_id: str
    host: str
    instance_id: str | None
    assigned: list[tuple[str, int]]  # topic, partition


class GroupAnswer(msgspec.Struct, array_like=True, frozen=True):
    group: str
    # Topic, partition, offset, and the metadata that was committed with it; None: not read.
    committed: list[tuple[str, int, int, str]] | None = None
    state: str | None = None  # Kafka's name of it; None: not read
    assignor: str | None = None
    members: list[MemberAnswer] | None = None
    error: str | None = None
    is_stale: bool = False  # a new client may know better


def write_frame(stream: IO[bytes], body: bytes) -> None:
    stream.write(_LENGTH.pack(len(body)) + body)
    stream.flush()


def read_frame(stream: IO[bytes]) -> bytes | None:
    """One frame; None where the stream ends first."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    body = stream.read(length)
    return body if len(body) == length else None


def read_groups(client: AdminClient, request: Request) -> list[GroupAnswer]:
    """Commits and members of the groups. Commits are asked for first: whoever reads the log ends
    after this answer can't find an end older than a commit."""
    timeout_s = request.timeout_s
    commits = [_asked(_ask_commits, client, group, timeout_s) for group in request.groups]
    described = [_asked(_ask_members, client, group, timeout_s) for group in request.groups]
    deadline = time.monotonic() + timeout_s + _GRACE_S
    return [
        _guarded(group, committed, members, deadline)
        for group, committed, members in zip(request.groups, commits, described, strict=True)
    ]


def _ask_commits(client: AdminClient, group: str, timeout_s: float) -> Future[Any]:
    asked = [ConsumerGroupTopicPartitions(group)]
    return client.list_consumer_group_offsets(asked, request_timeout=timeout_s)[group]


def _ask_members(client: AdminClient, group: str, timeout_s: float) -> Future[Any]:
    # One call a group, which is what the client makes of a call for many: so each fails by itself.
    return client.describe_consumer_groups([group], request_timeout=timeout_s)[group]


def _asked(
    ask: Callable[[AdminClient, str, float], Future[Any]], client: AdminClient, group: str, timeout_s: float
) -> Future[Any]:
    """The answer to come; one that has failed already where the client does not even ask.

    It refuses the empty name, which brokers take commits under.
    """
    try:
        return ask(client, group, timeout_s)
    except Exception as error:
        refused: Future[Any] = Future()
        refused.set_exception(error)
        return refused


def _guarded(group: str, commits: Future[Any], described: Future[Any], deadline: float) -> GroupAnswer:
    """The group's answer: whatever is odd about it is its own answer's error and no other's."""
    try:
        return _answer(group, commits, described, deadline)
    except Exception as error:
        return GroupAnswer(group, error=f"the answer can't be read: {error!r}"[:_MOST_REASON])


def _answer(group: str, commits: Future[Any], described: Future[Any], deadline: float) -> GroupAnswer:
    errors: list[KafkaError] = []
    committed = _result(commits, deadline, errors)
    description = _result(described, deadline, errors)
    if committed is not None:
        # Known in part would read as "no commit" where the rest is.
        refused = [part.error for part in committed.topic_partitions if part.error is not None]
        errors += refused
        committed = None if refused else committed
    members = None
    if description is not None:
        members = [
            MemberAnswer(
                member_id=member.member_id,
                client_id=member.client_id,
                host=member.host,
                instance_id=member.group_instance_id,
                assigned=[(part.topic, part.partition) for part in member.assignment.topic_partitions],
            )
            for member in description.members
        ]
    return GroupAnswer(
        group=group,
        committed=None
        if committed is None
        # A partition without a commit is listed with -1001.
        else [
            (p.topic, p.partition, p.offset, p.metadata or "")
            for p in committed.topic_partitions
            if p.offset >= 0
        ],
        state=description.state.name if description is not None else None,
        assignor=description.partition_assignor if description is not None else None,
        members=members,
        error=errors[0].str() if errors else None,
        is_stale=any(error.code() in _STALE for error in errors),
    )


def _result(future: Future[Any], deadline: float, errors: list[KafkaError]) -> Any:
    try:
        return future.result(max(0.0, deadline - time.monotonic()))
    except TimeoutError:
        errors.append(KafkaError(KafkaError._TIMED_OUT, "no answer in time"))
    except KafkaException as error:
        cause = error.args[0]
        errors.append(cause if isinstance(cause, KafkaError) else KafkaError(KafkaError._FAIL, str(error)))
    except Exception as error:
        errors.append(KafkaError(KafkaError._INVALID_ARG, f"the client library can't ask for it: {error}"))
    return None


def main() -> None:
    """Answer until nobody asks any more."""
    # Ctrl-C in a terminal reaches every process in it; this one ends with whoever started it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, replies = sys.stdin.buffer, sys.stdout.buffer
    client: AdminClient | None = None
    while True:
        ready, _, _ = select.select([requests], [], [], IDLE_S)
        body = read_frame(requests) if ready else None
        if body is None:
            # Not sys.exit: freeing a client that still waits for a dead broker is one more way to crash.
            os._exit(0)
        request = msgspec.msgpack.decode(body, type=Request)
        client = client or AdminClient(request.config)
        write_frame(replies, msgspec.msgpack.encode(read_groups(client, request)))


if __name__ == "__main__":
    main()
