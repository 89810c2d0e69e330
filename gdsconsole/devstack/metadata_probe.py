"""One Metadata request to one broker, over a plain socket.

What a client library answers comes from whichever broker it happens to ask. Readiness is about each
broker by itself, and the supervisor should not carry a client's threads for it.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

_METADATA = 3
_VERSION = 1
_LONGEST_REPLY = 1 << 20


@dataclass(frozen=True, slots=True)
class BrokerView:
    """The cluster as one broker sees it."""

    broker_ids: frozenset[int]  # the brokers that are alive and not fenced
    controller_id: int | None


def ask(host: str, port: int, *, timeout_s: float = 1.0) -> BrokerView | None:
    """What the broker at this address says, or None when it gives no answer."""
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as connection:
            connection.settimeout(timeout_s)
            client = b"gds-probe"
            body = struct.pack(">hhih", _METADATA, _VERSION, 1, len(client)) + client + struct.pack(">i", 0)
            connection.sendall(struct.pack(">i", len(body)) + body)
            (length,) = struct.unpack(">i", _exactly(connection, 4))
            if not 4 <= length <= _LONGEST_REPLY:
                return None
            return _parse(_exactly(connection, length))
    except (OSError, struct.error, IndexError):
        return None


def _exactly(connection: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        chunk = connection.recv(count - len(received))
        if not chunk:
            raise ConnectionError("closed in the middle of a reply")
        received += chunk
    return received


def _parse(reply: bytes) -> BrokerView:
    (count,) = struct.unpack_from(">i", reply, 4)
    at = 8
    brokers = set()
    for _ in range(count):
        (node_id,) = struct.unpack_from(">i", reply, at)
        brokers.add(node_id)
        at = _after_string(reply, at + 4) + 4  # host, then the port
        at = _after_string(reply, at)  # rack
    (controller,) = struct.unpack_from(">i", reply, at)
    return BrokerView(frozenset(brokers), controller if controller >= 0 else None)


def _after_string(reply: bytes, at: int) -> int:
    length = int(struct.unpack_from(">h", reply, at)[0])
    return at + 2 + max(0, length)
