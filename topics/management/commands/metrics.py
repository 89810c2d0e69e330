"""`manage.py metrics`: what the warehouse holds."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.utils import timezone

from gdsconsole.cli.subcommands import Actions
from gdsconsole.cli.terminal import TerminalCommand
from gdsconsole.database.reporting import database_told
from gdsconsole.text import formats
from gdsconsole.text.durations import duration
from topics.models import MetricPoint

EXAMPLES = """
examples:
  manage.py metrics query --since 15m
  manage.py metrics query --instance 'prod-db-*' --metric cpu_usage_percent --since 2h --json
  manage.py metrics query --instance prod-db-01 --count --json

The newest come first. JSON: an array of
  {"timestamp", "database_type", "instance_id", "metric_name", "value", "tags", "environment", "tenant_id",
   "topic", "partition", "offset", "stored_at"}
or with --count one object, {"count"}. Times are RFC 3339 in UTC. Points are kept for GDS_POINTS_KEPT_DAYS
(7) after they were stored.
"""
CHUNK = 2_000
COLUMNS = (
    "at",
    "series__database_type",
    "series__instance_id",
    "series__metric_name",
    "value",
    "tags",
    "series__environment",
    "series__tenant_id",
    "origin__topic",
    "origin__partition",
    "offset",
    "stored_at",
)


class Command(TerminalCommand):
    help = "Look into the warehouse: the points of instances and metrics, or how many there are."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        query = Actions(parser, EXAMPLES).add("query", "points, the newest first")
        query.add_argument(
            "--instance", type=_pattern, metavar="PATTERN", help="only of these; * is any text, prod-db-*"
        )
        query.add_argument(
            "--metric", type=_pattern, metavar="M", help="only these, cpu_usage_percent; * is any text"
        )
        query.add_argument(
            "--since", type=duration, metavar="D", help="measured at most so long ago: 90s, 15m, 2h, 7d"
        )
        query.add_argument("--count", action="store_true", help="how many, instead of the points")

    def handle(self, *_: Any, **options: Any) -> None:
        since = timezone.now() - options["since"] if options["since"] is not None else None
        points = MetricPoint.objects.of(instance=options["instance"], metric=options["metric"], since=since)
        try:
            with database_told(options):
                if options["count"]:
                    count = points.count()
                    self.line(json.dumps({"count": count}) if options["json"] else str(count))
                else:
                    self._list(_rows(points), as_json=options["json"])
        except BrokenPipeError:
            # Whoever read has seen enough. Nothing may be flushed into the closed pipe at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def _list(self, rows: Iterator[dict[str, Any]], *, as_json: bool) -> None:
        count = 0
        for row in rows:
            if as_json:
                self.stdout.write(f"{',' if count else '['}{json.dumps(row)}")
            else:
                self.line(
                    f"{row['timestamp']}  {row['value']:>14.6g}  {row['metric_name']}  {row['instance_id']}  "
                    f"{row['database_type']}  {row['environment'] or '-'}  {_time_told(row)}".rstrip()
                )
            count += 1
        if as_json:
            self.stdout.write("]" if count else "[]")
        else:
            self.tell(f"{count} points")


def _rows(points: Any) -> Iterator[dict[str, Any]]:
    found = points.order_by("-at", "-origin_id", "-offset").values_list(*COLUMNS)
    for at, kind, instance, metric, value, tags, environment, tenant, *where, stored_at in found.iterator(
        chunk_size=CHUNK
    ):
        topic, partition, offset = where
        yield {
            "timestamp": at.isoformat(),
            "database_type": kind,
            "instance_id": instance,
            "metric_name": metric,
            "value": value,
            "tags": tags,
            "environment": environment,
            "tenant_id": tenant,
            "topic": topic,
            "partition": partition,
            "offset": offset,
            "stored_at": stored_at.isoformat(),
        }


def _time_told(row: dict[str, Any]) -> str:
    """How far a point's time is from when it was stored, where that is far: it was late, or a clock wrong."""
    at, stored_at = (datetime.fromisoformat(row[name]) for name in ("timestamp", "stored_at"))
    off = (stored_at - at).total_seconds()
    if abs(off) <= settings.GDS_WAREHOUSE.window_seconds:
        return ""
    return f"stored {formats.duration(abs(off))} {'later' if off > 0 else 'earlier'}"


def _pattern(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("a name or a pattern with *, not ''")
    return text
