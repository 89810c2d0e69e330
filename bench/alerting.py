"""How fast the alerting pipeline reads, beside kcat and beside loops that do less.

    .venv/bin/python bench/alerting.py [--messages 1000000] [--rounds 3] [--rules 100] [--profile]

`alerting` is the whole pipeline in one process: every record decoded and validated, judged by 100
rules, offsets committed, a few alerts opened in the database. `kcat` only reads, `bare` is
consume(500) in Python, `decode` adds the metric decoder.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import time

import stage  # before anything of Django's
from ceilings import bare_reads, kcat, kcat_reads
from confluent_kafka import Consumer
from consumer_child import read

from topics.models import AlertRule
from topics.telemetry import METRIC_DECODER

# Of a million records about this many break a rule.
FEW = 20


def make_rules(count: int, *, share: float) -> None:
    """Rules that this share of the seeded metrics breaks: one for each metric, then others above it."""
    for n in range(count):
        AlertRule.objects.create(
            name=f"rule {n}",
            metric_name=stage.NAMES[n % len(stage.NAMES)],
            operator=">",
            threshold=stage.HIGHEST * (1 - share) + n // len(stage.NAMES),
        )


def decoding_reads(servers: str, count: int, group: str) -> float:
    """Messages a second of consume(500) and the decoder."""
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.queue.backoff.ms": 10,
        }
    )
    consumer.subscribe([stage.TOPIC])
    seen, began = 0, 0.0
    while seen < count:
        records = consumer.consume(500, 0.5)
        began = began or (time.perf_counter() if records else 0.0)
        if records:
            list(map(METRIC_DECODER.decode, map(type(records[0]).value, records)))
        seen += len(records)
    took = time.perf_counter() - began
    consumer.close()
    return count / took


def main() -> None:
    parser = stage.options(__doc__)
    parser.add_argument("--rules", type=int, default=100)
    parser.add_argument("--profile", action="store_true", help="print where one more run spends its time")
    given = parser.parse_args()
    count = given.messages
    with stage.console() as here:
        for topic in (stage.TOPIC, "gds.metrics.dlq", "gds.alerts.production"):
            here.topic(topic)
        size = stage.write(here, stage.TOPIC, count) / count
        make_rules(given.rules, share=FEW / 1_000_000)
        runs = {
            "kcat": lambda n: kcat_reads(here.servers, stage.TOPIC, count),
            "bare": lambda n: bare_reads(here.servers, stage.TOPIC, count, f"bare-{n}"),
            "decode": lambda n: decoding_reads(here.servers, count, f"decode-{n}"),
            "alerting": lambda n: read(f"alerting-{n}", count).per_s,
        }
        if kcat() is None:
            del runs["kcat"]
            stage.say(bench="alerting", skipped="kcat", why="it is neither on PATH nor a Debian package here")
        rates = stage.alternate("alerting", runs, given.rounds)
        facts = {"messages": count, "bytes_each": round(size), "rules": given.rules}
        if "kcat" in rates:
            ratio = rates["alerting"] / rates["kcat"]
            stage.result("alerting", "alerting, of kcat", ratio, at_least=0.30, goal=0.40, **facts)
        stage.result("alerting", "alerting, of consume(500)", rates["alerting"] / rates["bare"], **facts)
        if given.profile:
            profile = cProfile.Profile()
            profile.enable()
            read("alerting-profile", count)
            profile.disable()
            pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()
