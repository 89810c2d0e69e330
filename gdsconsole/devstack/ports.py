"""Loopback ports: which are free, who has one that is not."""

from __future__ import annotations

import random
import socket

import psutil

from gdsconsole.devstack.errors import CannotStart

# Below the range from which the kernel takes ports for outgoing connections: a client that tries to
# reach a dead broker in that range may be given the broker's own port, and then holds it.
_FIRST, _LAST = 20_000, 32_000


def is_free(port: int) -> bool:
    """True when a server could listen on it now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free(count: int) -> list[int]:
    """Ports that nobody listens on now, all different."""
    found: list[int] = []
    for port in random.sample(range(_FIRST, _LAST), _LAST - _FIRST):
        if len(found) == count:
            return found
        if is_free(port):
            found.append(port)
    raise CannotStart(f"no {count} free ports between {_FIRST} and {_LAST} on 127.0.0.1")


def require_free(port: int, purpose: str, *, advice: str = "stop it and start again") -> None:
    """Raise CannotStart naming the port, its purpose and, where it can be seen, who has it."""
    if not is_free(port):
        raise CannotStart(f"port {port}, needed for {purpose}, is taken by {holder(port)}: {advice}")


def holder(port: int) -> str:
    """The process that listens on the port, in words."""
    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and tuple(connection.laddr)[1:2] == (port,)
            if listens and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except (psutil.Error, OSError):
        pass  # not told to other users on every system
    return "another process"
