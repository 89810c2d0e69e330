"""From a message's acknowledgement to its alert's row committed, at 1,000 messages a second.

    .venv/bin/python bench/latency.py [--messages 30000] [--rate 1000]

One in twenty messages opens an alert of its own: fifty a second. The producer notes when the broker
acknowledged each record, the pipeline's process when the transaction with its alert had committed, by the
same machine's clock.
"""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import stage  # before anything of Django's
from confluent_kafka import Producer
from consumer_child import read

from gdsconsole.kafka.step import Batch
from topics.models import Alert, AlertRule

ONE_IN = 20
Place = tuple[int, int]


def message(number: int) -> bytes:
    """Fires when its number is a multiple of `ONE_IN`, from an instance of its own."""
    fires = number % ONE_IN == 0
    return json.dumps(
        {
            "timestamp": "2026-01-15T10:30:00.000Z",
            "database_type": "postgresql",
            "instance_id": f"prod-db-{number:06}" if fires else f"prod-db-{number % 50:04}",
            "metric_name": stage.NAMES[0],
            "value": 99.5 if fires else 12.5,
            "tags": {"environment": "production", "region": "eu-central-1", "tenant_id": f"t{number % 7}"},
        }
    ).encode()


def send(servers: str, count: int, rate: float, acknowledged: dict[Place, float]) -> None:
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 5, "enable.idempotence": True})

    def note(number: int) -> Any:
        def told(error: Any, record: Any) -> None:
            assert error is None
            if number % ONE_IN == 0:
                acknowledged[record.partition(), record.offset()] = time.time()

        return told

    began = time.perf_counter()
    for number in range(count):
        time.sleep(max(0.0, began + number / rate - time.perf_counter()))
        producer.produce(
            stage.TOPIC, message(number), f"postgresql:{number % 500}".encode(), on_delivery=note(number)
        )
        producer.poll(0)
    assert producer.flush(30) == 0


def main() -> None:
    parser = stage.options(__doc__, messages=30_000)
    parser.add_argument("--rate", type=float, default=1_000)
    given = parser.parse_args()
    acknowledged: dict[Place, float] = {}
    committed: dict[Place, float] = {}

    def stored(batch: Batch[Any]) -> None:
        now = time.time()
        if not sending.ident:
            # The first alert is there, so the pipeline runs: begin.
            sending.start()
            return
        for record, metric in zip(batch.records, batch.values, strict=True):
            if metric.value > 50:
                committed[record.partition(), record.offset()] = now

    with stage.console() as here:
        for topic in (stage.TOPIC, "gds.metrics.dlq", "gds.alerts.production"):
            here.topic(topic)
        AlertRule.objects.create(name="hot", metric_name=stage.NAMES[0], operator=">", threshold=50.0)
        sending = threading.Thread(
            target=send, args=(here.servers, given.messages, given.rate, acknowledged), daemon=True
        )
        first = Producer({"bootstrap.servers": here.servers})
        first.produce(stage.TOPIC, message(given.messages * ONE_IN))
        assert first.flush(30) == 0
        read("latency", given.messages + 1, on_stored=stored)
        sending.join()
        assert Alert.objects.count() == len(acknowledged) + 1 == len(committed) + 1
    took = sorted(committed[place] - at for place, at in acknowledged.items())
    facts = {"messages": given.messages, "rate": given.rate, "alerts": len(took)}
    for name, share, at_most in (("p50", 0.5, 100), ("p99", 0.99, 500)):
        value = took[min(len(took) - 1, int(share * len(took)))] * 1000
        what = f"acknowledged to alert row committed, {name}"
        stage.result("latency", what, value, unit="ms", at_most=at_most, **facts)


if __name__ == "__main__":
    main()
