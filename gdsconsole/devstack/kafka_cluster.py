"""1..N Kafka brokers on loopback, each a KRaft broker and controller in one small JVM."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gdsconsole.devstack import metadata_probe, processes
from gdsconsole.devstack.errors import CannotStart
from gdsconsole.devstack.java import Java

HOST = "127.0.0.1"
_HERE = Path(__file__).resolve().parent
_AGENT = "jmx_prometheus_javaagent"
_META = "meta.properties"
_BOOTSTRAP = "bootstrap.checkpoint"
_CLOSED = ".kafka_cleanshutdown"


@dataclass(frozen=True, slots=True)
class BrokerPorts:
    client: int
    controller: int
    metrics: int


@dataclass(frozen=True, slots=True)
class ClusterLayout:
    """Where the cluster keeps its data and which ports it has: all that outlives a start."""

    directory: Path
    ports: tuple[BrokerPorts, ...]  # broker 1 first

    @property
    def broker_ids(self) -> tuple[int, ...]:
        return tuple(range(1, len(self.ports) + 1))

    @property
    def bootstrap_servers(self) -> str:
        return ",".join(f"{HOST}:{ports.client}" for ports in self.ports)

    @property
    def metrics_urls(self) -> tuple[str, ...]:
        return tuple(f"http://{HOST}:{ports.metrics}/metrics" for ports in self.ports)

    def data_of(self, broker_id: int) -> Path:
        return self.directory / f"broker-{broker_id}"

    def config_of(self, broker_id: int) -> Path:
        return self.directory / f"broker-{broker_id}.properties"


def properties(layout: ClusterLayout, broker_id: int) -> dict[str, str]:
    """The broker's configuration: safe where data is at stake, small elsewhere."""
    size = len(layout.ports)
    ports = layout.ports[broker_id - 1]
    replicas = str(min(3, size))
    in_sync = "2" if size >= 3 else "1"
    voters = ",".join(f"{n}@{HOST}:{p.controller}" for n, p in enumerate(layout.ports, 1))
    return {
        "process.roles": "broker,controller",
        "node.id": str(broker_id),
        "controller.quorum.voters": voters,
        "controller.listener.names": "CONTROLLER",
        "listeners": f"CLIENT://{HOST}:{ports.client},CONTROLLER://{HOST}:{ports.controller}",
        "advertised.listeners": f"CLIENT://{HOST}:{ports.client}",
        "inter.broker.listener.name": "CLIENT",
        "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(layout.data_of(broker_id)),
        # A mistyped topic is an error to show, not a topic to make.
        "auto.create.topics.enable": "false",
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "offsets.topic.num.partitions": "12",
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "transaction.state.log.num.partitions": "6",
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
        "share.coordinator.state.topic.num.partitions": "3",
        # A dead broker is fenced after 5 s instead of 9, so the pages can tell of it within 10.
        "broker.session.timeout.ms": "5000",
        "broker.heartbeat.interval.ms": "1000",
        "group.initial.rebalance.delay.ms": "100",
        # By KIP-848 the broker sets the session's timeout: what the classic members ask for.
        "group.consumer.min.session.timeout.ms": "6000",
        "group.consumer.session.timeout.ms": "30000",
        # Half the default threads, and 8 MB instead of 128 MB to clean logs with: the heap is bounded.
        "num.network.threads": "2",
        "num.io.threads": "4",
        "background.threads": "4",
        "log.cleaner.dedupe.buffer.size": str(8 << 20),
    }


def prepare(layout: ClusterLayout, *, java: Java, jars: Sequence[Path]) -> bool:
    """Write the configurations and format what is not formatted yet; True when it formatted.

    The first broker is formatted by Kafka's own tool; the others get its bootstrap records and an
    identity of their own, which saves a JVM start each. Raises CannotStart with the tool's last line.
    """
    layout.directory.mkdir(parents=True, exist_ok=True)
    for broker_id in layout.broker_ids:
        lines = [f"{name}={value}" for name, value in properties(layout, broker_id).items()]
        layout.config_of(broker_id).write_text("\n".join(lines) + "\n")
    missing = [n for n in layout.broker_ids if not (layout.data_of(n) / _META).is_file()]
    if not missing:
        return False
    first = layout.data_of(1)
    if 1 in missing:
        if len(missing) != len(layout.ports):
            raise CannotStart(f"{first} has no {_META} but other brokers have: run `manage.py up --reset`")
        _format_first(layout, java=java, jars=jars)
    cluster_id = cluster_id_of(layout)
    for broker_id in missing:
        if broker_id == 1:
            continue
        data = layout.data_of(broker_id)
        data.mkdir(parents=True, exist_ok=True)
        shutil.copy(first / _BOOTSTRAP, data / _BOOTSTRAP)
        identity = {
            "cluster.id": cluster_id,
            "directory.id": _random_id(),
            "node.id": broker_id,
            "version": 1,
        }
        (data / _META).write_text("".join(f"{name}={value}\n" for name, value in identity.items()))
    return True


def cluster_id_of(layout: ClusterLayout) -> str:
    """The id the cluster was formatted with."""
    for line in (layout.data_of(1) / _META).read_text().splitlines():
        name, _, value = line.partition("=")
        if name == "cluster.id":
            return value
    raise CannotStart(f"{layout.data_of(1) / _META} names no cluster: run `manage.py up --reset`")


def broker_command(
    layout: ClusterLayout, broker_id: int, *, java: Java, jars: Sequence[Path], heap_mb: int = 384
) -> list[str]:
    """Arguments of the broker's JVM: bounded heap, quick to start, its metrics on loopback."""
    agent = next(jar for jar in jars if jar.name.startswith(_AGENT))
    metrics = layout.ports[broker_id - 1].metrics
    return [
        *_jvm(java, jars, heap_mb=heap_mb),
        f"-javaagent:{agent}={HOST}:{metrics}:{_HERE / 'kafka-jmx.yml'}",
        "kafka.Kafka",
        str(layout.config_of(broker_id)),
    ]


def view(
    layout: ClusterLayout, broker_id: int, *, timeout_s: float = 1.0
) -> metadata_probe.BrokerView | None:
    """The cluster as this broker sees it; None when it gives no answer."""
    return metadata_probe.ask(HOST, layout.ports[broker_id - 1].client, timeout_s=timeout_s)


def all_closed(layout: ClusterLayout) -> bool:
    """True when every broker has closed its logs for good.

    What is left of a cluster's shutdown then are the controllers, the last of which wait 5 s for a
    successor that can't come. Their own log is synced at each write.
    """
    return all((layout.data_of(n) / _CLOSED).is_file() for n in layout.broker_ids)


def _jvm(java: Java, jars: Sequence[Path], *, heap_mb: int) -> list[str]:
    classpath = os.pathsep.join(str(jar) for jar in jars if not jar.name.startswith(_AGENT))
    return [
        str(java.executable),
        f"-Xmx{heap_mb}m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-XX:+ExitOnOutOfMemoryError",
        "-Djava.awt.headless=true",
        f"-Dlog4j2.configurationFile={_HERE / 'kafka-log4j2.xml'}",
        "-cp",
        classpath,
    ]


def _format_first(layout: ClusterLayout, *, java: Java, jars: Sequence[Path]) -> None:
    command = [*_jvm(java, jars, heap_mb=128), "kafka.tools.StorageTool", "format", "-t", _random_id()]
    command += ["-c", str(layout.config_of(1)), "--ignore-formatted"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        said = (done.stderr + done.stdout).strip().splitlines()
        raise CannotStart(
            f"formatting the Kafka data in {layout.directory}: {said[-1] if said else 'no output'}"
        )


def _random_id() -> str:
    """A Kafka uuid: 22 characters of base64, never starting with a dash, which reads as an option."""
    while True:
        made = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not made.startswith("-"):
            return made


@dataclass(slots=True)
class Broker:
    """One broker of a cluster a test owns."""

    cluster: KafkaCluster
    broker_id: int
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def address(self) -> str:
        return f"{HOST}:{self.cluster.layout.ports[self.broker_id - 1].client}"

    @property
    def log(self) -> Path:
        return self.cluster.layout.directory / f"broker-{self.broker_id}.log"

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self, *, wait_s: float | None = 60.0) -> None:
        """Start it, and unless `wait_s` is None wait until it and its peers know of each other."""
        cluster = self.cluster
        words = broker_command(cluster.layout, self.broker_id, java=cluster.java, jars=cluster.jars)
        self.process = processes.start(words, log=self.log, die_with_parent=True)
        if wait_s is not None:
            cluster.wait_ready(timeout_s=wait_s)

    def stop(self, *, grace_s: float = 20.0) -> None:
        """Stop it in an orderly way: it hands its leaderships over first."""
        if self.process is not None:
            processes.stop(self.process, grace_s=grace_s)

    def kill(self) -> None:
        """SIGKILL: what a power cut of its machine would do."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)

    def restart(self) -> None:
        self.stop()
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers. On return none of its threads runs."""
        process = self._running()
        process.send_signal(signal.SIGSTOP)
        # Each thread stops by itself, a moment later where it is at work; the parent is told of the last.
        os.waitpid(process.pid, os.WUNTRACED)

    def thaw(self) -> None:
        self._running().send_signal(signal.SIGCONT)

    def _running(self) -> subprocess.Popen[bytes]:
        if self.process is None or self.process.poll() is not None:
            raise RuntimeError(f"broker {self.broker_id} does not run")
        return self.process


@dataclass(slots=True)
class KafkaCluster:
    """A cluster a test owns: every broker can be stopped, killed, frozen and started again."""

    layout: ClusterLayout
    java: Java
    jars: Sequence[Path]
    brokers: list[Broker] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.brokers = [Broker(self, broker_id) for broker_id in self.layout.broker_ids]

    @property
    def bootstrap_servers(self) -> str:
        return self.layout.bootstrap_servers

    def broker(self, broker_id: int) -> Broker:
        """By the id that Kafka's metadata uses; the first is 1."""
        return self.brokers[broker_id - 1]

    def start(self, *, timeout_s: float = 90.0) -> None:
        prepare(self.layout, java=self.java, jars=self.jars)
        for broker in self.brokers:
            if not broker.is_running:
                broker.start(wait_s=None)
        self.wait_ready(timeout_s=timeout_s)

    def wait_ready(self, *, timeout_s: float = 60.0) -> None:
        """Wait until every running broker sees all running ones; raise CannotStart when one died."""
        deadline = time.monotonic() + timeout_s
        expected = {broker.broker_id for broker in self.brokers if broker.process is not None}
        while True:
            running = {broker.broker_id for broker in self.brokers if broker.is_running}
            views = [view(self.layout, broker_id) for broker_id in sorted(running)]
            if running and all(seen is not None and running <= seen.broker_ids for seen in views):
                return
            if time.monotonic() > deadline:
                raise CannotStart(f"Kafka's brokers did not find each other in {timeout_s:.0f} s: {views}")
            if not running and expected:
                said = processes.last_lines(self.brokers[0].log)
                raise CannotStart(
                    f"Kafka's brokers ended at their start: {said[-1] if said else 'no output'}"
                )
            time.sleep(0.05)

    def restore(self) -> None:
        """Start what a test left stopped and wait until all brokers know of each other."""
        for broker in self.brokers:
            if broker.process is not None and not broker.is_running:
                broker.start(wait_s=None)
        self.wait_ready()

    def stop(self, *, grace_s: float = 10.0) -> None:
        """Stop all at once: one after another would leave the last without a quorum to ask."""
        for broker in self.brokers:
            if broker.is_running:
                broker._running().terminate()
        deadline = time.monotonic() + grace_s
        while any(broker.is_running for broker in self.brokers) and time.monotonic() < deadline:
            if all_closed(self.layout):
                break
            time.sleep(0.02)
        for broker in self.brokers:
            if broker.process is not None:
                processes.stop(broker.process, grace_s=0)
