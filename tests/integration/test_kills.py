"""`kill -9`, sixty times: every message is stored or dead-lettered once, and committing first loses some."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gdsconsole.devstack.kafka_cluster import KafkaCluster
from tests.integration.processes import Part
from tests.integration.stream import Stream, open_stream
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.redis,
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(300),
]

SEED = 20260115


@pytest.fixture
def stream(
    kafka: KafkaCluster,
    topic_factory: Callable[..., str],
    redis_url: str,
    subprocess_environment: dict[str, str],
    tmp_path: Path,
) -> Iterator[Stream]:
    with open_stream(kafka, topic_factory, subprocess_environment, tmp_path, seed=SEED) as opened:
        yield opened


def deaths(part: Part) -> list[int]:
    """How many batches each life had begun when it was killed."""
    assert part.process.poll() is None, part.said()[-2_000:]
    return [int(line.split()[1]) for line in part.said().splitlines() if line.startswith("killed ")]


def kill_while_sending(stream: Stream, *, kills: int, messages: int, words: tuple[str, ...] = ()) -> None:
    """Both pipelines are killed so often, at the same time, while the messages come in portions."""
    consumers = [
        stream.start(name, "--kills", str(kills), "--seed", str(SEED + number), *words)
        for number, name in enumerate(("alerting", "warehouse"))
    ]
    stream.start("dlq-index")
    portions = 20
    for portion in range(portions):
        stream.traffic.send(messages // portions)
        wanted = kills * (portion + 1) // portions
        wait_until(
            lambda wanted=wanted: min(len(deaths(consumer)) for consumer in consumers) >= wanted,
            60,
            f"{wanted} kills",
        )
    for consumer in consumers:
        at_work = [batches for batches in deaths(consumer) if batches]
        assert len(at_work) > kills / 2, f"too few died at work: {deaths(consumer)}"
    stream.drain()
    assert len(stream.acknowledged) == messages
    assert stream.acknowledged.poison


def test_sixty_kills_lose_nothing_and_double_nothing(stream: Stream) -> None:
    kill_while_sending(stream, kills=60, messages=24_000)
    assert stream.faults() == {}


def test_the_same_kills_find_what_committing_first_loses(stream: Stream) -> None:
    kill_while_sending(stream, kills=12, messages=6_000, words=("--commits-first",))
    found = stream.faults()
    assert found.keys() >= {"points missing", "alerts missing"}
    assert not [fault for fault in found if fault.endswith("too many")]
