"""The guide's loop: poll one message, parse it, send it on and flush, commit, for every message.

    guide.py SERVERS SOURCE TARGET GROUP COUNT THRESHOLD

Consumer and producer are the guide's own, word for word.
"""

from __future__ import annotations

import json
import sys
import time

from confluent_kafka import Consumer, Producer


def main() -> None:
    servers, source, target, group, count, threshold = sys.argv[1:]
    limit = float(threshold)
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "client.id": f"{group}-consumer",
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.min.bytes": 1024,
            "fetch.wait.max.ms": 500,
            "max.poll.interval.ms": 300000,
        }
    )
    producer = Producer(
        {
            "bootstrap.servers": servers,
            "client.id": "telemetry-producer",
            "acks": "all",
            "enable.idempotence": True,
            "retries": 2147483647,
            "delivery.timeout.ms": 120000,
            "compression.type": "lz4",
            "linger.ms": 100,
            "batch.size": 16384,
        }
    )
    consumer.subscribe([source])
    seen, began = 0, 0.0
    while seen < int(count):
        message = consumer.poll(timeout=1.0)
        if message is None or message.error():
            continue
        began = began or time.perf_counter()
        key = message.key().decode("utf-8") if message.key() else None
        metric = json.loads(message.value().decode("utf-8"))
        if metric["value"] > limit:
            producer.produce(topic=target, key=key.encode("utf-8"), value=json.dumps(metric).encode("utf-8"))
            producer.flush()
        consumer.commit(asynchronous=False)
        seen += 1
    took = time.perf_counter() - began
    consumer.close()
    print(json.dumps({"messages": seen, "seconds": took}))


if __name__ == "__main__":
    main()
