"""What the tests of the pages of consumer groups share: samples, and how a page is read."""

from __future__ import annotations

import html
import json
import re
from typing import Any

from tests.factories import partition_sample

BEHIND: dict[str, Any] = {
    "status": "slow",
    "reason": "gds.metrics.production-0: 43,210 behind and not catching up (+120.0/s)",
    "total_lag": 43_210,
    "age_s": 200.0,
    "consumed_per_s": 880.0,
    "produced_per_s": 1_000.0,
    "partitions": [
        partition_sample(lag=43_210, committed=100, end=43_310, age_s=200.0, method="record", status="slow")
    ],
}
UNREAD: dict[str, Any] = {
    "state": "Unknown",
    "status": "unknown",
    "reason": "Kafka at 127.0.0.1:9092 does not answer",
    "members": None,
    "total_lag": None,
    "unknown_partitions": None,
    "lost": None,
    "age_s": None,
    "consumed_per_s": None,
    "produced_per_s": None,
    "partitions": [],
}


def plain(markup: str) -> str:
    """The words of a piece of a page."""
    return html.unescape(" ".join(re.sub(r"<[^>]+>", " ", markup).split()))


def row_of(page: str, group: str) -> str:
    """The row of a group, as text without tags."""
    rows = re.findall(r"<tr id=\"group-.*?</tr>", page, re.S)
    found = next(row for row in rows if f">{group}</a>" in row)
    return plain(found)


def groups_in(page: str) -> list[str]:
    return re.findall(r'class="row-link" href="[^"]*">([^<]*)</a>', page)


def chart_in(page: str, name: str) -> dict[str, Any]:
    found = re.search(rf'id="{name}-data"[^>]*>(.*?)</script>', page, re.S)
    assert found is not None
    parsed: dict[str, Any] = json.loads(found[1])
    return parsed
