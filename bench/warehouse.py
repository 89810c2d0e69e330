"""How fast the warehouse writes points, beside bare drivers that write the same rows.

    .venv/bin/python bench/warehouse.py [--messages 300000] [--rounds 3] [--commit 1000] [--profile]

On SQLite, and on PostgreSQL where there is one, each in a process of its own. `step` is the warehouse step
from decoded metrics to committed points and progress, 1,000 a transaction; its peers write rows that are
ready, into the same table: `or ignore` is sqlite3's executemany of INSERT OR IGNORE, `staged` psycopg's
COPY into a staging table and INSERT ... ON CONFLICT, `copy` psycopg's plain binary COPY. Series are known
beforehand, as in a pipeline that has run for a minute. `pipeline` reads the same metrics from Kafka, with
decoding, dead letters and commits; `by 100`, `by 1000` and `by 10000` are its largest batch.
"""

from __future__ import annotations

import cProfile
import gc
import os
import pstats
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import stage  # before anything of Django's
from bare_tables import BarePostgresql, BareSqlite, emptied
from django.db import connection

from gdsconsole.assembly import pipeline_catalog
from gdsconsole.devstack import ports
from gdsconsole.kafka.consuming.batching import BatchPolicy
from gdsconsole.kafka.consuming.equipment import Policies
from gdsconsole.kafka.partitions import TopicIdPartition
from gdsconsole.kafka.step import Batch
from gdsconsole.pipelines.models import PartitionProgress
from tests import postgresql
from tests.factories import make_record
from topics.models import MetricPoint
from topics.telemetry import METRIC_DECODER, Metric, encode_metric
from topics.warehouse.series_ids import keys_of
from topics.warehouse.step import WarehouseStep

GROUP = "gds-warehouse"
FIRST = datetime(2026, 1, 15, 10, tzinfo=UTC)
LARGEST = (100, 1_000, 10_000)


@dataclass(slots=True)
class Load:
    """Batches as the runtime hands them on: each of three partitions, in runs."""

    batches: list[Batch[Metric]]
    partitions: list[TopicIdPartition]
    count: int


def load(count: int, commit: int) -> Load:
    partitions = [TopicIdPartition(stage.TOPIC, n, "topic-id", "cluster-id") for n in range(stage.PARTITIONS)]
    reached = [0] * len(partitions)
    # A thousand a second, as they would come: an index by time grows at one end.
    metrics = [
        msgspec.structs.replace(
            METRIC_DECODER.decode(value), timestamp=FIRST + timedelta(milliseconds=number)
        )
        for number, (_, value) in enumerate(stage.metrics(count))
    ]
    batches = []
    for number, start in enumerate(range(0, count, commit)):
        values = metrics[start : start + commit]
        of = [(number * 3 + run) % len(partitions) for run in range(3)]
        before = {n: reached[n] for n in of}
        records = []
        for position in range(len(values)):
            n = of[position * 3 // len(values)]
            records.append(make_record(topic=stage.TOPIC, partition=n, offset=reached[n], value=b""))
            reached[n] += 1
        moves = {partitions[n]: (before[n], reached[n]) for n in of}
        batches.append(Batch(records, values, moves))
    return Load(batches, partitions, count)


class Bench:
    """One database's runs. The step outlives its runs, so its series are known."""

    def __init__(self, given: Load) -> None:
        self._load = given
        self._step = WarehouseStep(group=GROUP)
        self._step.assigned(given.partitions)
        for batch in given.batches:
            self._step._series.ids(keys_of(batch.records, batch.values))

    def step(self) -> float:
        emptied()
        PartitionProgress.objects.filter(group=GROUP).delete()
        self._step.assigned(self._load.partitions)
        began = time.perf_counter()
        for batch in self._load.batches:
            assert self._step.handle(batch)
        return self._rate(began)

    def bare(self, write: Callable[[Any], None], batches: Sequence[Any]) -> float:
        emptied()
        began = time.perf_counter()
        for rows in batches:
            write(rows)
        return self._rate(began)

    def rows(self, ready: Callable[[tuple[Any, ...]], tuple[Any, ...]]) -> list[list[tuple[Any, ...]]]:
        """What the step would write, batch by batch."""
        now = datetime.now(UTC)
        found = []
        for batch in self._load.batches:
            points = self._step._points(batch)
            columns = zip(points.origins, points.offsets, points.series, points.metrics, strict=True)
            found.append(
                [
                    ready((origin, offset, series, metric.timestamp, now, metric.value, _tags(metric)))
                    for origin, offset, series, metric in columns
                ]
            )
        return found

    def _rate(self, began: float) -> float:
        took = time.perf_counter() - began
        assert MetricPoint.objects.count() == self._load.count
        return self._load.count / took


def _tags(metric: Metric) -> str:
    whole = encode_metric(metric).decode()
    return whole[whole.index('"tags":') + 7 : -1]


def pipeline_reads(count: int, largest: int, group: str) -> float:
    """Messages a second from Kafka into the table, once the first batch came."""
    emptied()
    spec = replace(
        pipeline_catalog.WAREHOUSE,
        group=group,
        step=lambda: WarehouseStep(group=group),
        policies=Policies(batch=BatchPolicy(minimum=min(50, largest), maximum=largest)),
    )
    pipeline = pipeline_catalog.build(spec, slot=0)
    pipeline.subscribe([stage.TOPIC])
    began = first = 0.0
    while pipeline.counters.processed < count:
        pipeline.run_once()
        if not began and pipeline.counters.processed:
            began, first = time.perf_counter(), pipeline.counters.processed
    took = time.perf_counter() - began
    pipeline.close(commit=True)
    assert MetricPoint.objects.count() == count
    return (count - first) / took


def on_this_database(given: Any) -> None:
    """All runs on the database of the settings."""
    name = connection.vendor
    facts = {"messages": given.messages, "commit": given.commit}
    with stage.console(redis=False) as here:
        bench = Bench(load(given.messages, given.commit))
        runs: dict[str, Callable[[int], float]] = {f"step, {name}": lambda n: bench.step()}
        for what, write, rows in _peers(bench):
            runs[f"{what}, {name}"] = lambda n, write=write, rows=rows: bench.bare(write, rows)  # type: ignore[misc]
        # What the load takes is no pipeline's: the collector shouldn't walk through it.
        gc.collect()
        gc.freeze()
        rates = stage.alternate("warehouse", runs, given.rounds)
        ours = rates[f"step, {name}"]
        if name == "sqlite":
            ratio = ours / rates["or ignore, sqlite"]
            stage.result("warehouse", "SQLite, of bare executemany OR IGNORE", ratio, at_least=0.7, **facts)
        else:
            ratio = ours / rates[f"staged, {name}"]
            label = "PostgreSQL, of bare COPY to staging + ON CONFLICT"
            stage.result("warehouse", label, ratio, at_least=0.8, **facts)
            ratio = ours / rates[f"staged binary, {name}"]
            label = "PostgreSQL, of bare binary COPY to staging + ON CONFLICT"
            stage.result("warehouse", label, ratio, goal=0.8, **facts)
            ratio = ours / rates[f"copy, {name}"]
            stage.result("warehouse", "PostgreSQL, of bare binary COPY", ratio, goal=0.8, **facts)
        if given.profile:
            profile = cProfile.Profile()
            profile.enable()
            bench.step()
            profile.disable()
            pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(25)
        for topic in (stage.TOPIC, "gds.metrics.dlq"):
            here.topic(topic)
        stage.write(here, stage.TOPIC, given.messages)
        reads: dict[str, Callable[[int], float]] = {
            f"pipeline by {largest}, {name}": lambda n, largest=largest: pipeline_reads(  # type: ignore[misc]
                given.messages, largest, f"by-{largest}-{n}"
            )
            for largest in LARGEST
        }
        rates = stage.alternate("warehouse", reads, given.rounds)
        ratio = rates[f"pipeline by 10000, {name}"] / rates[f"pipeline by 100, {name}"]
        label = "SQLite" if name == "sqlite" else "PostgreSQL"
        stage.result("warehouse", f"{label}, batches of up to 10,000, of 100", ratio, messages=given.messages)


def _peers(bench: Bench) -> Iterator[tuple[str, Callable[[Any], None], list[Any]]]:
    if connection.vendor == "sqlite":
        sqlite = BareSqlite()
        yield "or ignore", sqlite.or_ignore, bench.rows(sqlite.ready)
    else:
        bare = BarePostgresql()
        rows = bench.rows(bare.ready)
        yield "staged", bare.staged, rows
        yield "staged binary", bare.staged_binary, rows
        yield "copy", bare.copy, rows


def in_a_process_of_its_own(database_url: str | None) -> int:
    environment = {name: value for name, value in os.environ.items() if name != "GDS_TEST_DATA_DIR"}
    if database_url is not None:
        environment["DATABASE_URL"] = database_url
    return subprocess.run([sys.executable, __file__, *sys.argv[1:], "--here"], env=environment).returncode


def main() -> int:
    parser = stage.options(__doc__, messages=300_000)
    parser.add_argument("--commit", type=int, default=1_000, help="points a transaction")
    parser.add_argument("--profile", action="store_true", help="print where one more run spends its time")
    parser.add_argument("--here", action="store_true", help="on the database of DATABASE_URL alone")
    given = parser.parse_args()
    if given.here:
        on_this_database(given)
        return 0
    code = in_a_process_of_its_own(None)
    programs = postgresql.find()
    if programs is None:
        stage.say(bench="warehouse", skipped="postgresql", why="its programs are not installed here")
        return code
    server = postgresql.PostgresqlServer(programs, ports.free(1)[0], is_durable=True)
    try:
        server.start()
        return in_a_process_of_its_own(server.create_database("bench")) or code
    finally:
        server.stop()


if __name__ == "__main__":
    sys.exit(main())
