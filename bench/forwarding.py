"""Reading, judging, and producing a fifth of the messages onward, committed only behind their delivery.

    .venv/bin/python bench/forwarding.py [--messages 1000000] [--rounds 3] [--profile]

The console's runtime with the metric decoder (full validation) and 100 rules of which a fifth of the
messages break one: those go on to another topic. `after delivery` commits offsets when the records have
arrived, `in transactions` commits both together. `re-serialising` decodes and encodes every record it
sends on, as a framework that hands objects around does. The guide's loop polls one message, parses it,
produces it, flushes and commits; it is given few messages, because it would take minutes.

No pipeline of the console forwards this way. The step and `after delivery` are the tests'; the runtime, the
decoder, the rules and `in transactions` are the console's own, and alert events are what it sends on by them.
"""

from __future__ import annotations

import cProfile
import gc
import pstats
import sys
import time
from collections.abc import Callable
from typing import Any

import peers
import stage  # before anything of Django's

from gdsconsole.assembly import pipeline_catalog
from gdsconsole.kafka.clients import new_producer
from gdsconsole.kafka.config import ClientSettings
from gdsconsole.kafka.consuming.equipment import Stores, Transport, Work
from gdsconsole.kafka.consuming.runtime import ConsumerRuntime
from gdsconsole.kafka.consuming.static_member import open_member
from gdsconsole.kafka.forwarding.delivery import Forwarding
from gdsconsole.kafka.forwarding.transactional import in_transactions
from gdsconsole.kafka.producing.sender import OutgoingRecord
from gdsconsole.pipelines.halts.store import StoredHalts
from gdsconsole.pipelines.storage import StoredFailures
from tests.kafka.forwarding.after_delivery import AfterDelivery
from tests.kafka.forwarding.forward_step import ForwardStep
from topics.alerting.rules import Rule, RuleBook
from topics.telemetry import Metric, encode_metric

SHARE = 0.2
# On every line and in the table: what is measured is no pipeline's.
NOTE = "no pipeline forwards this way"
# The guide's loop makes some thousand a second.
FEW = 20_000


def rules(count: int = 100) -> RuleBook:
    """One rule for each metric, which the highest fifth of its values break."""
    threshold = stage.HIGHEST * (1 - SHARE)
    names = (stage.NAMES[n % len(stage.NAMES)] for n in range(count))
    return RuleBook(Rule(n, f"rule {n}", "metric", name, ">", threshold) for n, name in enumerate(names))


class ReserialisingStep(ForwardStep[Metric]):
    """Encodes what it sends on anew."""

    def handle(self, batch: Any) -> bool:
        chosen = self._choose(batch.values)
        self._onward.send(
            self._topic,
            [OutgoingRecord(encode_metric(batch.values[n]), batch.records[n].key()) for n in chosen],
        )
        return False


def forwards(
    client: ClientSettings, target: str, group: str, count: int, *, mode: str, reserialise: bool = False
) -> float:
    """Messages read a second, from the end of the first batch to the last commit: a start is left out."""
    onward: Forwarding = (
        in_transactions(client, group=group, slot=0)
        if mode == "transactions"
        else AfterDelivery(new_producer(client, client_id=group))
    )
    book = rules()
    kind = ReserialisingStep if reserialise else ForwardStep[Metric]
    pipeline = ConsumerRuntime(
        group,
        transport=Transport(
            open_source=lambda hooks: open_member(client, group=group, slot=0, hooks=hooks),
            identify=lambda topics: pipeline_catalog.identify(client, topics),
            onward=onward,
        ),
        work=Work(pipeline_catalog.ALERTING.decoder(), kind(onward, topic=target, choose=book.beyond)),
        stores=Stores(StoredFailures(group), StoredHalts(group)),
    )
    pipeline.subscribe([stage.TOPIC])
    gc.collect()
    gc.freeze()
    began, first = 0.0, 0
    while pipeline.counters.processed < count:
        pipeline.run_once()
        if not began and pipeline.counters.processed:
            began, first = time.time(), pipeline.counters.processed
    pipeline.close(commit=True)
    gc.unfreeze()
    ended = pipeline.snapshot().last_commit_at
    assert ended is not None
    return (count - first) / (ended - began)


def main() -> None:
    parser = stage.options(__doc__)
    parser.add_argument("--profile", action="store_true", help="print where one more run spends its time")
    given = parser.parse_args()
    count, few = given.messages, min(FEW, given.messages)
    threshold = str(stage.HIGHEST * (1 - SHARE))
    with stage.console() as here:
        client = ClientSettings(here.servers)
        for topic in (stage.TOPIC, "gds.alerts.production", "gds.alerts.staging"):
            here.topic(topic)
        size = stage.write(here, stage.TOPIC, count) / count
        target = "gds.alerts.production"
        peer = (here.servers, stage.TOPIC, target)
        runs: dict[str, Callable[[int], float]] = {
            "after delivery": lambda n: forwards(client, target, f"delivery-{n}", count, mode="delivery"),
            "in transactions": lambda n: forwards(
                client, target, f"transactions-{n}", count, mode="transactions"
            ),
            "re-serialising": lambda n: forwards(
                client, target, f"encoded-{n}", count, mode="delivery", reserialise=True
            ),
            "quixstreams, same bytes": lambda n: runs_peer(
                "quix", *peer, f"quix-{n}", count, threshold, "bytes"
            ),
            "quixstreams, re-serialising": lambda n: runs_peer(
                "quix", *peer, f"quix-json-{n}", count, threshold, "json"
            ),
            "the guide's loop": lambda n: runs_peer("guide", *peer, f"guide-{n}", few, threshold),
        }
        rates = stage.alternate("forwarding", runs, given.rounds, note=NOTE)
        ours = rates["after delivery"]
        facts = {"messages": count, "bytes_each": round(size), "share": SHARE}
        for what, value, at_least in (
            ("of quixstreams, the same bytes", ours / rates["quixstreams, same bytes"], 4),
            (
                "of quixstreams, re-serialising both",
                rates["re-serialising"] / rates["quixstreams, re-serialising"],
                3,
            ),
            ("of the guide's loop", ours / rates["the guide's loop"], 100),
            ("transactions, of after delivery", rates["in transactions"] / ours, 0.7),
        ):
            stage.result("forwarding", what, value, at_least=at_least, note=NOTE, **facts)
        if given.profile:
            profile = cProfile.Profile()
            profile.enable()
            forwards(client, target, "profile", count, mode="delivery")
            profile.disable()
            pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(25)


def runs_peer(script: str, *words: object) -> float:
    return peers.runs(script, *map(str, words))


if __name__ == "__main__":
    main()
