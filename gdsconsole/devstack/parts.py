"""The processes a console is made of, and the order in which they stop."""

from __future__ import annotations

import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from gdsconsole.devstack import kafka_cluster, redis_server
from gdsconsole.devstack.files import write_private
from gdsconsole.devstack.java import Java
from gdsconsole.devstack.kafka_cluster import ClusterLayout
from gdsconsole.devstack.supervisor import PartSpec
from gdsconsole.env import ROOT
from gdsconsole.live.limits import MOST_BYTES_IN
from gdsconsole.workers import marks

# A higher stage stops earlier: first what makes work, then what does it, then what it needs.
_TRAFFIC, _BEAT, _WORK, _KAFKA, _REDIS = 5, 4, 3, 2, 1

# Each consumer of a pipeline is a process; enough of them that scaling up needs no restart of the worker.
PIPELINE_PROCESSES = 12
# A draining pipeline flushes, commits and leaves its group before the worker ends.
DRAIN_S = 25.0
TRAFFIC_RATE = 200
# A dead broker stays away until the others have fenced it, which takes 5 s: failover then really
# happens, as it would with a machine that reboots, and the pages can tell of it.
BROKER_BACKOFF_S = 6.0


def manage(*words: str) -> list[str]:
    """A `manage.py` command by the Python that runs now."""
    return [sys.executable, str(ROOT / "manage.py"), *words]


def redis(*, port: int, directory: Path, password: str) -> PartSpec:
    config = directory / "redis.conf"
    return PartSpec(
        name="redis",
        command=redis_server.command(port=port, directory=directory, durable=True, config=config),
        stage=_REDIS,
        answers=lambda: redis_server.answers(port, password=password),
        prepare=lambda: write_private(config, redis_server.configuration(password)),
        directory=directory,
    )


def broker(layout: ClusterLayout, broker_id: int, *, java: Java, jars: Sequence[Path]) -> PartSpec:
    def answers() -> bool:
        seen = kafka_cluster.view(layout, broker_id)
        return seen is not None and broker_id in seen.broker_ids and seen.controller_id is not None

    return PartSpec(
        name=f"kafka-{broker_id}",
        command=kafka_cluster.broker_command(layout, broker_id, java=java, jars=jars),
        stage=_KAFKA,
        answers=answers,
        start_timeout_s=120,
        grace_s=15,
        settled=lambda: kafka_cluster.all_closed(layout),
        first_backoff_s=BROKER_BACKOFF_S,
    )


def web(*, port: int) -> PartSpec:
    words = [sys.executable, "-m", "uvicorn", "gdsconsole.asgi:application", "--host", "127.0.0.1"]
    words += ["--port", str(port), "--no-access-log", "--lifespan", "off", "--timeout-graceful-shutdown", "3"]
    # Whose X-Forwarded-For is believed is the console's to say (GDS_TRUSTED_PROXIES); uvicorn believes
    # loopback's. A page sends nothing over its socket, and what is refused needn't be read first.
    words += ["--no-proxy-headers", "--ws-max-size", str(MOST_BYTES_IN)]

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1) as reply:
                return bool(reply.status == 200)
        except OSError:
            return False

    return PartSpec(name="web", command=words, stage=_WORK, answers=answers, grace_s=8)


def pipelines_worker(*, redis_url: str) -> PartSpec:
    return _worker(
        "worker-pipelines", "pipelines", ["pipelines"], PIPELINE_PROCESSES, redis_url, grace_s=DRAIN_S
    )


def worker(*, redis_url: str) -> PartSpec:
    return _worker("worker", "default", ["default", "replay"], 2, redis_url, grace_s=10)


def beat(*, directory: Path) -> PartSpec:
    words = [sys.executable, "-m", "celery", "--app", "gdsconsole", "beat", "--loglevel", "WARNING"]
    # Its pid file would outlive a crash and refuse the next start; the supervisor knows the process.
    words += ["--pidfile", "", "--schedule", str(directory / "schedule")]
    return PartSpec(name="beat", command=words, stage=_BEAT, grace_s=5, directory=directory)


def traffic() -> PartSpec:
    words = manage("simulate", "--rate", str(TRAFFIC_RATE), "--poison", "0.001")
    return PartSpec(name="traffic", command=words, stage=_TRAFFIC, grace_s=5)


def _worker(
    part: str, name: str, queues: Sequence[str], processes: int, redis_url: str, *, grace_s: float
) -> PartSpec:
    words = [
        *(sys.executable, "-m", "celery", "--app", "gdsconsole", "worker", "--hostname", f"{name}@%h"),
        *("--queues", ",".join(queues), "--concurrency", str(processes)),
        *("--pool", "prefork", "--loglevel", "INFO", "--without-gossip", "--without-mingle"),
        "--without-heartbeat",
    ]

    def takes_tasks(pid: int) -> bool | None:
        now = time.time()
        said = [mark for mark in marks.read(redis_url) or () if mark.pid == pid]
        if all(marks.consuming(said, queue, now=now) for queue in queues):
            return True
        return False if marks.takes_writes(redis_url) else None

    return PartSpec(
        name=part,
        command=words,
        stage=_WORK,
        alive=takes_tasks,
        start_timeout_s=120,
        grace_s=grace_s,
    )
