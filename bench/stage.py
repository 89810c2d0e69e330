"""What every benchmark stands on: a broker of its own, seeded metrics, alternating rounds, JSON lines.

Import it before anything of Django's: it points the settings at a throwaway directory.

A line with `run` is one round of one way of doing the work; a line with `what` is a result, which
`bench/run.py` puts into the table. Rates are messages a second unless the line says otherwise.
"""

from __future__ import annotations

import argparse
import atexit
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
_inherited = os.environ.get("GDS_TEST_DATA_DIR")
DIRECTORY = Path(_inherited or tempfile.mkdtemp(prefix="gdsconsole-bench-"))
if _inherited is None:
    atexit.register(shutil.rmtree, DIRECTORY, ignore_errors=True)
os.environ["GDS_TEST_DATA_DIR"] = str(DIRECTORY)
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"

import django

django.setup()

import logging
import random

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from django.conf import settings
from django.core.management import call_command

from gdsconsole import env
from gdsconsole.devstack import jars, java, ports
from gdsconsole.devstack.kafka_cluster import BrokerPorts, ClusterLayout, KafkaCluster
from gdsconsole.devstack.redis_server import RedisServer
from gdsconsole.kafka.producing.room import produce_with_room

TOPIC = "gds.metrics.production"
PARTITIONS = 12
SEED = 20260115
NAMES = [f"database_metric_{n:03}" for n in range(100)]
HIGHEST = 100.0
# kcat and the environments of peers, kept between runs.
CACHE = jars.cache_directory(os.environ).parent / "bench"


def options(description: str | None, *, messages: int = 1_000_000) -> argparse.ArgumentParser:
    """The arguments every benchmark takes."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=messages)
    parser.add_argument("--rounds", type=int, default=3)
    return parser


@dataclass(slots=True)
class Stage:
    """One broker, and the addresses the console's settings have been pointed at."""

    cluster: KafkaCluster
    servers: str
    admin: AdminClient

    def topic(self, name: str, partitions: int = PARTITIONS) -> str:
        self.admin.create_topics([NewTopic(name, partitions, 1)])[name].result(30)
        return name

    def fresh(self, name: str) -> str:
        """The topic, empty: made again under its name."""
        self.admin.delete_topics([name])[name].result(30)
        deadline = time.monotonic() + 30
        while name in self.admin.list_topics(timeout=10).topics:
            assert time.monotonic() < deadline, f"{name} is still there"
            time.sleep(0.1)
        return self.topic(name)


@contextmanager
def console(*, redis: bool = True) -> Iterator[Stage]:
    """A broker, Redis and an empty database, for as long as the block lasts."""
    logging.disable(logging.WARNING)
    call_command("migrate", verbosity=0)
    repository = os.environ.get("KAFKA_MAVEN_REPOSITORY") or env.STANDARD_MAVEN_REPOSITORY
    fetched = jars.fetch(repository=repository, directory=jars.cache_directory(os.environ))
    found = ports.free(4)
    layout = ClusterLayout(DIRECTORY / "kafka", (BrokerPorts(*found[:3]),))
    cluster = KafkaCluster(layout, java.ensure(os.environ), fetched)
    server = RedisServer(DIRECTORY / "redis", found[3])
    try:
        cluster.start()
        if redis:
            server.start()
        settings.KAFKA_BOOTSTRAP_SERVERS = cluster.bootstrap_servers
        settings.REDIS_URL = server.url
        # Processes that a benchmark starts read the same settings from here.
        os.environ["KAFKA_BOOTSTRAP_SERVERS"] = cluster.bootstrap_servers
        os.environ["REDIS_URL"] = server.url
        yield Stage(
            cluster, cluster.bootstrap_servers, AdminClient({"bootstrap.servers": cluster.bootstrap_servers})
        )
    finally:
        if redis:
            server.kill()
        for broker in cluster.brokers:
            broker.kill()


def metrics(count: int, *, seed: int = SEED) -> Iterator[tuple[bytes, bytes]]:
    """Seeded (key, value) pairs of about 250 bytes, with values up to `HIGHEST`.

    500 instances, each of one of 7 tenants, report 100 metrics.
    """
    chance = random.Random(seed)
    for n in range(count):
        number = chance.randrange(500)
        instance, tenant = f"prod-db-{number:04}", f"t{number % 7}"
        value = json.dumps(
            {
                "timestamp": f"2026-01-15T10:{n // 60 % 60:02}:{n % 60:02}.{n % 1000:03}Z",
                "database_type": "postgresql",
                "instance_id": instance,
                "metric_name": chance.choice(NAMES),
                "value": round(chance.uniform(0, HIGHEST), 3),
                "tags": {"environment": "production", "region": "eu-central-1", "tenant_id": tenant},
            }
        )
        yield f"postgresql:{instance}".encode(), value.encode()


def write(stage: Stage, topic: str, count: int) -> int:
    """Produce seeded metrics, lz4; returns how many bytes their values have in all."""
    producer = Producer(
        {
            "bootstrap.servers": stage.servers,
            "compression.type": "lz4",
            "batch.size": 262_144,
            "linger.ms": 50,
        }
    )
    total = 0
    for key, value in metrics(count):
        total += len(value)
        produce_with_room(partial(producer.produce, topic, value, key), lambda: producer.poll(0.1) >= 0)
    assert producer.flush(120) == 0
    return total


def alternate(
    bench: str, runs: Mapping[str, Callable[[int], float]], rounds: int, **more: Any
) -> dict[str, float]:
    """Every run once a round, so that what else the machine does hits all of them; the medians.

    A run is given the round's number and returns a rate.
    """
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for n in range(rounds):
        for name, run in runs.items():
            rate = run(n)
            rates[name].append(rate)
            say(bench=bench, run=name, round=n, per_s=round(rate), **more)
    return {name: statistics.median(found) for name, found in rates.items()}


def result(
    bench: str,
    what: str,
    value: float,
    *,
    unit: str = "x",
    at_least: float | None = None,
    at_most: float | None = None,
    goal: float | None = None,
    **more: Any,
) -> None:
    """One line of the table. `unit` x is a ratio within this run."""
    met = (at_least is None or value >= at_least) and (at_most is None or value <= at_most)
    bounds = {"at_least": at_least, "at_most": at_most, "goal": goal}
    say(
        bench=bench,
        what=what,
        value=round(value, 3),
        unit=unit,
        **{name: bound for name, bound in bounds.items() if bound is not None},
        met=met,
        **more,
    )


def say(**line: Any) -> None:
    print(json.dumps(line), flush=True)


def stopwatch() -> Callable[[], float]:
    """Seconds since it was made."""
    began = time.perf_counter()
    return lambda: time.perf_counter() - began
