"""What one consumer of the alerting pipeline takes of memory with a great backlog in front of it.

    .venv/bin/python bench/memory.py [--messages 10000000]

The peak of the process' resident memory, from its start until it has read everything: interpreter, Django,
librdkafka's queue of fetched messages, and the batches.
"""

from __future__ import annotations

import stage  # before anything of Django's
from alerting import FEW, make_rules
from consumers import Child

LIMIT_MB = 250


def main() -> None:
    given = stage.options(__doc__, messages=10_000_000).parse_args()
    with stage.console() as here:
        for topic in (stage.TOPIC, "gds.metrics.dlq", "gds.alerts.production"):
            here.topic(topic)
        make_rules(100, share=FEW / 1_000_000)
        stage.write(here, stage.TOPIC, given.messages)
        child = Child("memory", 0, 0)
        try:
            child.ask(f"read {given.messages}")
            told = child.answer()
        finally:
            child.end()
    assert told["count"] == given.messages, told
    rate = told["count"] / (told["ended"] - told["began"])
    stage.say(bench="memory", run="alerting", round=0, per_s=round(rate))
    stage.result(
        "memory",
        f"peak of a consumer with {given.messages:,} messages behind",
        told["peak_mb"],
        unit="MB",
        at_most=LIMIT_MB,
        messages=given.messages,
    )


if __name__ == "__main__":
    main()
