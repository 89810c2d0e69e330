"""A producer's queue that is full: the record waits, and nothing is dropped."""

from __future__ import annotations

from collections.abc import Callable


def produce_with_room(produce: Callable[[], None], wait: Callable[[], bool]) -> bool:
    """Put a record into the queue; False when `wait`, which lets the queue drain, gives up first.

    `produce` raises `BufferError` while the queue is full; what else it raises goes to the caller.
    """
    while True:
        try:
            produce()
        except BufferError:
            if not wait():
                return False
        else:
            return True
