"""What clients do to consumer groups that confluent_kafka refuses to: the protocol, through a socket."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from tests.waiting import wait_until

_OFFSET_COMMIT, _FIND_COORDINATOR, _JOIN_GROUP, _SYNC_GROUP, _DELETE_GROUPS = 8, 10, 11, 14, 42


class Coordinator:
    """A connection to the broker that coordinates this group."""

    def __init__(self, bootstrap_servers: str, group: bytes) -> None:
        self._group = text(group)
        host, _, port = bootstrap_servers.split(",")[0].rpartition(":")
        self._socket = socket.create_connection((host, int(port)), 20)

        def found() -> bytes | None:
            answer = self._ask(_FIND_COORDINATOR, 0, self._group)
            return answer if answer[:2] == b"\0\0" else None

        answer = wait_until(found, 30, "the group has a coordinator")
        (length,) = struct.unpack_from(">h", answer, 6)
        (port_there,) = struct.unpack_from(">i", answer, 8 + length)
        self._socket.close()
        self._socket = socket.create_connection((answer[8 : 8 + length].decode(), port_there), 20)

    def commit(self, topic: str, partition: int, offset: int) -> None:
        """As a consumer that assigns its partitions itself commits, whatever the group is called."""
        head = self._group + struct.pack(">i", -1) + text(b"") + struct.pack(">qi", -1, 1)
        body = head + text(topic.encode()) + struct.pack(">iiq", 1, partition, offset) + text(b"")
        wait_until(lambda: self._ask(_OFFSET_COMMIT, 2, body)[-2:] == b"\0\0", 30, "the offset is committed")

    def join(self, protocol_type: str, assignment: bytes) -> None:
        """Become the group's only member, and leader, and give it this for its assignment."""
        head = self._group + struct.pack(">ii", 30_000, 30_000) + text(b"") + text(protocol_type.encode())
        answer = self._ask(_JOIN_GROUP, 2, head + struct.pack(">i", 1) + text(b"range") + sized(b""))
        _, error, generation = struct.unpack_from(">ihi", answer)
        assert error == 0, error
        _, tp = read_text(answer, 10)
        _, tp = read_text(answer, tp)
        member, _ = read_text(answer, tp)
        body = self._group + struct.pack(">i", generation) + text(member) + struct.pack(">i", 1)
        answer = self._ask(_SYNC_GROUP, 1, body + text(member) + sized(assignment))
        assert answer[4:6] == b"\0\0", answer

    def delete(self) -> None:
        self._ask(_DELETE_GROUPS, 0, struct.pack(">i", 1) + self._group)

    def close(self) -> None:
        self._socket.close()

    def _ask(self, api: int, version: int, body: bytes) -> bytes:
        request = struct.pack(">hhi", api, version, 1) + text(b"tests") + body
        self._socket.sendall(sized(request))
        (length,) = struct.unpack(">i", self._read(4))
        return self._read(length)[4:]

    def _read(self, length: int) -> bytes:
        found = b""
        while len(found) < length:
            part = self._socket.recv(length - len(found))
            assert part, "the broker closed the connection"
            found += part
        return found


@contextmanager
def coordinator(bootstrap_servers: str, group: bytes) -> Iterator[Coordinator]:
    """While it lasts, so does what was joined; the group is deleted after it."""
    made = Coordinator(bootstrap_servers, group)
    try:
        yield made
    finally:
        made.close()
        ended = Coordinator(bootstrap_servers, group)
        ended.delete()
        ended.close()


def text(value: bytes) -> bytes:
    return struct.pack(">h", len(value)) + value


def sized(value: bytes) -> bytes:
    return struct.pack(">i", len(value)) + value


def read_text(answer: bytes, tp: int) -> tuple[bytes, int]:
    """The text, empty where there is none (null), and the place after it."""
    length = max(0, struct.unpack_from(">h", answer, tp)[0])
    return answer[tp + 2 : tp + 2 + length], tp + 2 + length
