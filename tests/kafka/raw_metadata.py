"""What one broker knows of a topic: a client's answer comes from whichever broker it happens to ask."""

from __future__ import annotations

import socket
import struct

from tests.kafka.raw_groups import read_text, sized, text

_METADATA, _VERSION = 3, 1


def leaders(port: int, topic: str) -> list[int]:
    """The leader of each partition as the broker at this port has it, -1 for none; empty without a topic."""
    request = struct.pack(">hhi", _METADATA, _VERSION, 1) + text(b"tests")
    with socket.create_connection(("127.0.0.1", port), 20) as connection:
        connection.sendall(sized(request + struct.pack(">i", 1) + text(topic.encode())))
        with connection.makefile("rb") as answers:
            (length,) = struct.unpack(">i", answers.read(4))
            answer = answers.read(length)
    (brokers,) = struct.unpack_from(">i", answer, 4)
    tp = 8
    for _ in range(brokers):
        _, tp = read_text(answer, tp + 4)  # an id, then the host
        _, tp = read_text(answer, tp + 4)  # a port, then the rack
    # The controller and the number of topics, which is one; then the topic's error.
    tp += 8 + 2
    _, tp = read_text(answer, tp)
    (partitions,) = struct.unpack_from(">i", answer, tp + 1)
    tp += 5
    found = []
    for _ in range(partitions):
        (leader,) = struct.unpack_from(">i", answer, tp + 6)
        found.append(leader)
        tp += 10
        for _ in ("replicas", "in-sync replicas"):
            (count,) = struct.unpack_from(">i", answer, tp)
            tp += 4 + 4 * count
    return found
