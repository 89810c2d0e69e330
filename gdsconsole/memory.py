"""Keeps a long-lived process of many short-lived threads from growing without a leak.

Each request runs in a thread of its own, and glibc lends threads up to eight heaps a core. Each of those
keeps what the largest request through it needed, so a process grows by some megabytes a core for hours.
Few heaps, and large buffers given back at once, keep it where it is.
"""

from __future__ import annotations

import ctypes

_ARENAS = 2
_LARGE_BYTES = 128 << 10
# Of malloc.h. Set by hand, the last two no longer grow by themselves up to 32 MB.
_M_ARENA_MAX, _M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -8, -1, -3


def bound_heaps() -> bool:
    """To be called before threads are started; False where the C library is another."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    wanted = ((_M_ARENA_MAX, _ARENAS), (_M_TRIM_THRESHOLD, _LARGE_BYTES), (_M_MMAP_THRESHOLD, _LARGE_BYTES))
    taken = [mallopt(option, value) == 1 for option, value in wanted]
    return all(taken)
