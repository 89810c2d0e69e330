"""The cluster for pages: read at most every few seconds, however many people look at it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from gdsconsole.kafka.cluster import topic_admin
from gdsconsole.kafka.cluster.topic_admin import LiveTopics
from gdsconsole.kafka.errors import KafkaUnavailable
from gdsconsole.pipelines.connection import kafka_settings
from topics.models import TopicDefinition

FRESH_S = 3.0
TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class Reading:
    """`live` is None where the cluster did not answer, and `failure` says why."""

    live: LiveTopics | None
    failure: KafkaUnavailable | None = None

    @property
    def error(self) -> str:
        return str(self.failure) if self.failure is not None else ""


_lock = threading.Lock()
_kept: tuple[float, str, frozenset[str], Reading] | None = None


def cluster_now() -> Reading:
    """The declared topics on the cluster, a few seconds old at most."""
    global _kept
    settings = kafka_settings()
    names = frozenset(TopicDefinition.objects.values_list("name", flat=True))
    # One asks, the others wait for its answer: an outage costs one timeout, not one for each reader.
    with _lock:
        if _kept is not None:
            at, address, asked, reading = _kept
            if time.monotonic() - at < FRESH_S and (address, asked) == (settings.bootstrap_servers, names):
                return reading
        try:
            reading = Reading(topic_admin.describe_topics(settings, names, timeout_s=TIMEOUT_S))
        except KafkaUnavailable as error:
            reading = Reading(None, error)
        _kept = (time.monotonic(), settings.bootstrap_servers, names, reading)
        return reading
