"""The console's own pipelines, judged by rules like everything else it watches."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from gdsconsole.pipelines import services as pipelines
from gdsconsole.pipelines.models import PipelineConsumer
from gdsconsole.pipelines.services import ConsumerRow, PipelineRow
from topics.alerting.services.alerts import Measurement, record_measurements
from topics.models import Alert, Source

HALTED = "pipeline_halted"
WAITING = "pipeline_waiting_partitions"
MISSING = "pipeline_missing_consumers"


def watch_pipelines(*, now: datetime) -> list[Alert]:
    """Judge every pipeline as its consumers' heartbeats have it; the alerts that changed."""
    rows = pipelines.listing(now=now)
    return record_measurements([sample for row in rows for sample in measurements(row, now)], now=now)


def measurements(row: PipelineRow, at: datetime) -> Iterator[Measurement]:
    """What pipeline rules judge: what halted, partitions that back off, consumers nobody runs. Pure.

    What halted is 1 for the pipeline as a whole, else how many of its partitions; the reason names them. Of a
    pipeline that people paused, or that halted as a whole, nothing waits and nothing is missing. What waits
    is unknown while a consumer that should run has not said so yet.
    """
    labels = {"pipeline": row["name"], "group": row["group"]}
    consumers = row["consumers"][: row["wanted_consumers"]] if row["is_wanted"] else []
    standing = sum(not halt["decision"] for halt in row["halted"])
    is_halted = row["state"] == "halted"
    waiting = [_waiting(consumer) for consumer in consumers]
    values = {
        HALTED: float(is_halted and (standing or 1)),
        WAITING: None if None in waiting else float(sum(count or 0 for count in waiting)),
        MISSING: float(sum(consumer["pid"] is None for consumer in consumers)),
    }
    for name, value in values.items():
        reason = row["reason"] if name == HALTED and is_halted else ""
        yield Measurement(Source.PIPELINE, name, labels, value, at, reason)


def _waiting(consumer: ConsumerRow) -> int | None:
    told = consumer["counters"].get("waiting")
    if not isinstance(told, dict) or consumer["state"] == PipelineConsumer.State.STARTING:
        return None
    # Without a reason a partition only waits for its turn.
    return sum(bool(why) for why in told.values())
