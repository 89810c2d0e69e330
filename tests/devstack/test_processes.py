"""When a process is over: what waits for its ports must not go by its first thread alone."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from gdsconsole.devstack import processes
from tests.waiting import wait_until

# Its first thread ends, another one keeps the process and what it holds.
HALF_ENDED = """
import ctypes, sys, threading
threading.Thread(target=sys.stdin.read).start()
ctypes.CDLL(None).pthread_exit(None)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="threads outlive the first one as zombies on Linux")
def test_a_process_has_ended_with_its_last_thread() -> None:
    with subprocess.Popen([sys.executable, "-c", HALF_ENDED], stdin=subprocess.PIPE) as child:
        process = psutil.Process(child.pid)
        wait_until(lambda: process.status() == psutil.STATUS_ZOMBIE, 10, "its first thread is gone")
        assert not processes.has_ended(process)
        assert not processes.wait_for_exit(process, 0.1)
        processes.kill_all([process])
        assert processes.wait_for_exit(process, 10)
        # Nobody has waited for it yet: a zombie that holds nothing.
        assert process.status() == psutil.STATUS_ZOMBIE
