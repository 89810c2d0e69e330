"""Charts of the brokers, as docs/design.md describes them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lag.charts import Combine, TimeRange, average, columns, highest
from lag.headlines import P99_LIMIT_MS
from lag.models import BrokerSample
from lag.rows import FigureName
from lag.selectors import BROKERS_FINE_S

# As many lines as there are colours to tell them apart.
_MOST_BROKERS = 8


def broker_charts(samples: Sequence[BrokerSample], *, span: TimeRange, now: float) -> dict[str, Any]:
    """Throughput and request times of each broker; p99 are in seconds."""
    ids = sorted({figures["id"] for sample in samples for figures in sample.brokers})
    charted = ids[:_MOST_BROKERS]

    def lines(field: FigureName, how: Combine, style: str, scale: float = 1.0) -> dict[str, Any]:
        rows = [(sample.sampled_at.timestamp(), _figures(sample, field, charted)) for sample in samples]
        times, series = columns(rows, [how] * len(charted), span=span, now=now, fine_s=BROKERS_FINE_S)
        return {
            "times": times,
            "series": [
                {
                    "label": f"broker {broker_id}",
                    "values": [None if value is None else value * scale for value in values],
                }
                for broker_id, values in zip(charted, series, strict=True)
            ],
            "format": style,
        }

    limit = {"value": P99_LIMIT_MS / 1000, "label": "limit", "tone": "bad"}
    return {
        "bytes_in": lines("bytes_in_per_s", average, "bytes"),
        "bytes_out": lines("bytes_out_per_s", average, "bytes"),
        "produce": {**lines("produce_p99_ms", highest, "duration", 0.001), "thresholds": [limit]},
        "fetch": {**lines("fetch_p99_ms", highest, "duration", 0.001), "thresholds": [limit]},
        "left_out": len(ids) - len(charted),
    }


def _figures(sample: BrokerSample, field: FigureName, ids: Sequence[int]) -> list[float | None]:
    by_id = {figures["id"]: figures[field] for figures in sample.brokers}
    return [by_id.get(broker_id) for broker_id in ids]
