"""Seeded telemetry that knows what was acknowledged: good, rule-breaking, and poison of every kind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import Any

from gdsconsole.kafka.clients import new_producer
from gdsconsole.kafka.config import ClientSettings
from topics.simulator import POISON
from topics.telemetry import Metric, default_key, encode_metric

# A partition's number and an offset.
Place = tuple[int, int]

POISON_RATIO = 0.02
BREAKING_RATIO = 0.05


@dataclass(slots=True)
class Acknowledged:
    """What the brokers have taken, by where it stands; `breaking` names the instances that break a rule."""

    values: dict[Place, float] = field(default_factory=dict)
    breaking: set[str] = field(default_factory=set)
    poison: set[Place] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.values) + len(self.poison)


class Traffic:
    """Sends metrics of CPU usage, each with a value of its own. The rule "CPU high" begins at 80.

    An instance that breaks it sends one metric, so that it has one alert, which fires once.
    """

    def __init__(self, bootstrap_servers: str, topic: str, *, seed: int) -> None:
        self.acknowledged = Acknowledged()
        self._topic = topic
        self._chance = Random(seed)
        self._kinds = sorted(POISON)
        self._sent = 0
        self._client = ClientSettings(bootstrap_servers)
        self._producer = new_producer(self._client, linger_ms=5)

    def begin_anew(self) -> None:
        """What is sent from now on goes to a topic that was made again, by a client that knows no other."""
        self._producer = new_producer(self._client, linger_ms=5)
        self.acknowledged = Acknowledged()

    def send(self, count: int) -> None:
        """Send this many, and wait until all are acknowledged."""
        self._produce(count)
        assert self._producer.flush(60) == 0, "not acknowledged within 60 s"

    @contextmanager
    def flowing(self, per_s: int) -> Iterator[None]:
        """Send at this rate until the block ends, then wait until all are acknowledged."""
        ended = threading.Event()

        def flow() -> None:
            while not ended.wait(0.05):
                self._produce(max(1, per_s // 20))

        thread = threading.Thread(target=flow, name="traffic", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
        # Not above: it would hide what failed in the block, a minute later.
        assert self._producer.flush(60) == 0, "not acknowledged within 60 s"

    def _produce(self, count: int) -> None:
        for _ in range(count):
            self._sent += 1
            number, fate = self._sent, self._chance.random()
            is_breaking = POISON_RATIO <= fate < POISON_RATIO + BREAKING_RATIO
            metric = Metric(
                timestamp=datetime.now(UTC),
                database_type="postgresql",
                instance_id=f"hot-{number:06}" if is_breaking else f"calm-{number % 100:02}",
                metric_name="cpu_usage_percent",
                value=(90 if is_breaking else 10) + number / 1_000_000,
                tags={"environment": "production"},
            )
            is_poison = fate < POISON_RATIO
            value = POISON[self._chance.choice(self._kinds)](metric) if is_poison else encode_metric(metric)
            self._producer.produce(
                self._topic,
                value,
                default_key(metric).encode(),
                on_delivery=partial(self._delivered, None if is_poison else metric),
            )
        self._producer.poll(0)

    def _delivered(self, metric: Metric | None, error: Any, record: Any) -> None:
        told = self.acknowledged
        if error is not None:
            told.refused.append(str(error))
            return
        place = (record.partition(), record.offset())
        if metric is None:
            told.poison.add(place)
            return
        told.values[place] = metric.value
        if metric.instance_id.startswith("hot-"):
            told.breaking.add(metric.instance_id)
