"""The web process keeps few heaps, however many threads its requests come in."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gdsconsole.env import ROOT

# Each thread takes a heap that is free, or a new one where it may; what malloc tells counts them.
THREADS = """
import ctypes, sys, threading
sys.path.insert(0, sys.argv[2])
from gdsconsole.memory import bound_heaps
if sys.argv[1] == "bounded":
    assert bound_heaps()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
together = threading.Barrier(24)
def use():
    libc.malloc(ctypes.c_size_t(1000))
    together.wait()
threads = [threading.Thread(target=use) for _ in range(24)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
libc.malloc_stats()
"""


@pytest.mark.skipif("not __import__('sys').platform.startswith('linux')", reason="of the GNU C library")
def test_heaps_are_bounded() -> None:
    def heaps(how: str) -> int:
        words = [sys.executable, "-c", THREADS, how, str(ROOT)]
        return subprocess.run(words, capture_output=True, text=True, check=True).stderr.count("Arena ")

    assert heaps("bounded") <= 2 < heaps("unbounded")
