"""quixstreams: filter a topic by thresholds and send what passes to another.

    quix.py SERVERS SOURCE TARGET GROUP COUNT THRESHOLD bytes|json

`bytes` parses for the filter only and sends the same bytes on; `json` lets the framework parse and
serialise, as its documentation does. librdkafka is given the console's own fetch and batch settings.
"""

from __future__ import annotations

import json
import sys
import time

import orjson
from quixstreams import Application


def main() -> None:
    servers, source, target, group, count, threshold, form = sys.argv[1:]
    limit = float(threshold)
    app = Application(
        broker_address=servers,
        consumer_group=group,
        auto_offset_reset="earliest",
        loglevel="ERROR",
        auto_create_topics=False,
        consumer_extra_config={"fetch.queue.backoff.ms": 10},
        producer_extra_config={"compression.type": "lz4", "batch.size": 262144, "linger.ms": 100},
    )
    seen, began = 0, 0.0

    def breaks(metric: dict) -> bool:
        nonlocal seen, began
        began = began or time.perf_counter()
        seen += 1
        if seen == int(count):
            app.stop()
        return metric["value"] > limit

    plain = form == "bytes"
    rows = app.dataframe(app.topic(source, value_deserializer="bytes" if plain else "json"))
    rows = rows.filter((lambda value: breaks(orjson.loads(value))) if plain else breaks)
    rows.to_topic(app.topic(target, value_serializer="bytes" if plain else "json"))
    app.run()
    print(json.dumps({"messages": seen, "seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
