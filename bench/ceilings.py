"""What the platform itself can do: kcat, and librdkafka's bare loops."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from functools import cache
from pathlib import Path

import stage
from confluent_kafka import Consumer

_PACKAGES = ("kcat", "librdkafka1", "libyajl2")
# kcat reads a million in less than half a second, which what else the machine does can double: it reads them
# again until it has read for this long. Few messages are read so often at most.
_LEAST_S = 3.0
_MOST_READINGS = 20


@cache
def kcat() -> list[str] | None:
    """How to run kcat: the one on PATH, else Debian's packages unpacked in the cache; None without either."""
    found = shutil.which("kcat")
    if found:
        return [found]
    home = stage.CACHE / "kcat"
    binary = home / "usr" / "bin" / "kcat"
    if not binary.is_file() and not _unpack(home):
        return None
    libraries = next((home / "usr" / "lib").glob("*-linux-gnu"), home)
    return ["env", f"LD_LIBRARY_PATH={libraries}", str(binary)]


def _unpack(home: Path) -> bool:
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        return False
    downloads = home / "packages"
    downloads.mkdir(parents=True, exist_ok=True)
    fetched = subprocess.run(["apt-get", "download", *_PACKAGES], cwd=downloads, capture_output=True)
    if fetched.returncode:
        return False
    for package in downloads.glob("*.deb"):
        subprocess.run(["dpkg", "-x", str(package), str(home)], check=True)
    return (home / "usr" / "bin" / "kcat").is_file()


def kcat_reads(servers: str, topic: str, count: int) -> float:
    """Messages a second of kcat reading so many from the start, over three seconds of it.

    Each reading has a start of its own, which is left out: what it takes to read one message, right before.
    """
    program = kcat()
    assert program is not None
    # Its client naps for a second whenever its queue is full, which later versions let us shorten.
    queue = ("-X", "queued.min.messages=10000000", "-X", "queued.max.messages.kbytes=2097151")
    words = [*program, *queue, "-C", "-q", "-b", servers, "-t", topic, "-o", "beginning", "-c"]

    def run(limit: int) -> float:
        began = time.perf_counter()
        with Path(os.devnull).open("wb") as nowhere:
            subprocess.run([*words, str(limit)], check=True, stdout=nowhere)
        return time.perf_counter() - began

    readings, took = 0, 0.0
    while took < _LEAST_S and readings < _MOST_READINGS:
        start = run(1)
        took += run(count) - start
        readings += 1
    return readings * (count - 1) / max(1e-3, took)


def bare_reads(servers: str, topic: str, count: int, group: str) -> float:
    """Messages a second of `consume(500)`, which throws away what it gets."""
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.queue.backoff.ms": 10,
        }
    )
    consumer.subscribe([topic])
    seen, began = 0, 0.0
    while seen < count:
        records = consumer.consume(500, 0.5)
        began = began or (time.perf_counter() if records else 0.0)
        seen += len(records)
    took = time.perf_counter() - began
    consumer.close()
    return count / took
