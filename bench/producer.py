"""How fast the console sends, beside the client's own bare loop.

    .venv/bin/python bench/producer.py [--messages 1000000] [--rounds 3] [--profile]

Idempotent, acks=all, lz4, batches of 256 KB; every delivery counted. `bare` is `produce_batch` with one
callback for all. `console` is the Sender that `simulate`, `send_metrics` and replays use, `headers` the same
with three headers a record, as dead letters have. `guide` has the guide's own settings (batches of 16 KB),
`flush each` its way of sending one message.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import time
from collections.abc import Callable
from typing import Any

import stage  # before anything of Django's

from gdsconsole.kafka.clients import new_producer
from gdsconsole.kafka.config import ClientSettings
from gdsconsole.kafka.producing.sender import OutgoingRecord, RecordSender

BATCH = 1_000
FEW = 5_000
HEADERS: list[tuple[str, bytes | None]] = [
    ("gds.dlq.topic", b"gds.metrics.production"),
    ("gds.dlq.group", b"gds-alerting"),
    ("gds.dlq.error", b"value: expected a finite number"),
]
Pair = tuple[bytes, bytes]


def bare(client: ClientSettings, topic: str, pairs: list[Pair], profile: Any = "console") -> float:
    """`produce_batch` with a callback that counts, and nothing else."""
    producer = new_producer(client, profile=profile)
    delivered = 0

    def count(error: object, _: object) -> None:
        nonlocal delivered
        assert error is None
        delivered += 1

    began = time.perf_counter()
    for at in range(0, len(pairs), BATCH):
        batch = [{"value": value, "key": key} for key, value in pairs[at : at + BATCH]]
        while batch:
            producer.produce_batch(topic, batch, on_delivery=count)
            batch = [record for record in batch if record.pop("_error", None) is not None]
            if batch:
                producer.poll(0.01)
        producer.poll(0)
    assert producer.flush(60) == 0
    assert delivered == len(pairs)
    return len(pairs) / (time.perf_counter() - began)


def console(client: ClientSettings, topic: str, pairs: list[Pair], profile: Any = "console") -> float:
    sender = RecordSender(new_producer(client, profile=profile), topic)
    began = time.perf_counter()
    for at in range(0, len(pairs), BATCH):
        sender.send_batch([{"value": value, "key": key} for key, value in pairs[at : at + BATCH]])
    assert sender.finish(timeout_s=60).delivered == len(pairs)
    return len(pairs) / (time.perf_counter() - began)


def with_headers(client: ClientSettings, topic: str, pairs: list[Pair]) -> float:
    sender = RecordSender(new_producer(client), topic)
    began = time.perf_counter()
    for at in range(0, len(pairs), BATCH):
        sender.send([OutgoingRecord(value, key, HEADERS) for key, value in pairs[at : at + BATCH]])
    assert sender.finish(timeout_s=60).delivered == len(pairs)
    return len(pairs) / (time.perf_counter() - began)


def flushing_each(client: ClientSettings, topic: str, pairs: list[Pair]) -> float:
    producer = new_producer(client, profile="guide")
    some = pairs[:FEW]
    began = time.perf_counter()
    for key, value in some:
        producer.produce(topic, value, key, on_delivery=lambda error, _: None)
        producer.flush()
    return len(some) / (time.perf_counter() - began)


def main() -> None:
    parser = stage.options(__doc__)
    parser.add_argument("--profile", action="store_true", help="print where one more run spends its time")
    given = parser.parse_args()
    with stage.console(redis=False) as here:
        client, topic = ClientSettings(here.servers), here.topic(stage.TOPIC)
        pairs = list(stage.metrics(given.messages))
        runs: dict[str, Callable[[int], float]] = {
            "bare": lambda n: bare(client, topic, pairs),
            "console": lambda n: console(client, topic, pairs),
            "headers": lambda n: with_headers(client, topic, pairs),
            "guide": lambda n: console(client, topic, pairs, "guide"),
            "flush each": lambda n: flushing_each(client, topic, pairs),
        }
        rates = stage.alternate("producer", runs, given.rounds)
        facts = {"messages": given.messages}
        for what, value, at_least in (
            ("sending, of bare produce_batch", rates["console"] / rates["bare"], 0.8),
            ("with headers, of bare produce_batch without", rates["headers"] / rates["bare"], 0.5),
            ("of the guide's settings", rates["console"] / rates["guide"], None),
            ("of a flush for each", rates["console"] / rates["flush each"], None),
        ):
            stage.result("producer", what, value, at_least=at_least, **facts)
        if given.profile:
            profile = cProfile.Profile()
            profile.enable()
            with_headers(client, topic, pairs)
            profile.disable()
            pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(20)


if __name__ == "__main__":
    main()
