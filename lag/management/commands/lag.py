"""`manage.py lag`: how far behind the consumer groups are, from a terminal."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from gdsconsole.cli.terminal import TerminalCommand
from gdsconsole.database.reporting import database_told
from gdsconsole.kafka.browsing.record_times import RecordTimes
from gdsconsole.kafka.clients import quiet_client
from gdsconsole.kafka.errors import KafkaUnavailable, WrongClientConfig
from gdsconsole.pipelines.connection import kafka_settings
from gdsconsole.text import formats
from gdsconsole.text.names import shown
from gdsconsole.text.visible import visible
from lag import services
from lag.models import GroupSample
from lag.sample_window import SampleWindow

EXAMPLES = """
examples:
  manage.py lag
  manage.py lag --group gds-alerting          its partitions too
  manage.py lag --json

JSON: an array, by group, of
  {"group", "state", "status", "reason", "members", "total_lag", "unknown_partitions", "lost", "age_s",
   "consumed_per_s", "produced_per_s", "eta_s", "partitions": [{"topic", "topic_id", "partition", "committed",
   "end", "log_start", "lag", "lost", "age_s", "method", "consumed_per_s", "produced_per_s", "eta_s",
   "status", "reason"}]}
Counts are in messages; null is unknown, never zero, and the reason says why. `lost` were deleted by
retention before they were read. `age_s` is the age of the oldest unread message, found as `method` says:
record, interpolated, caught-up or markers. `status` is ok, empty, unknown, slow, rewound, stalled or
stopped, judged by this reading and the samples that the console has stored; rates need those as well.
"""


class Command(TerminalCommand):
    help = "Read the lag of every consumer group once, or of one with its partitions."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        parser.epilog = EXAMPLES
        parser.add_argument("--group", metavar="G", help="only this one")
        parser.add_argument("--json", action="store_true", help="the result as JSON on stdout")

    def handle(self, *_: Any, **options: Any) -> None:
        quiet_client(options["verbosity"])
        wanted = options["group"]
        try:
            settings = kafka_settings()
            with database_told(options):
                snapshot, rows = services.read_lag(
                    settings=settings,
                    times=RecordTimes(settings),
                    history=SampleWindow(),
                    now=timezone.now(),
                    group=wanted,
                    known=() if wanted is None else [wanted],
                )
        except (KafkaUnavailable, WrongClientConfig) as error:
            raise CommandError(str(error)) from error
        if wanted is not None and not rows and snapshot.incomplete is None:
            raise CommandError(f"Kafka at {settings.bootstrap_servers} has no consumer group {wanted!r}")
        if options["json"]:
            self.stdout.write(
                json.dumps([{**services.as_data(row), "partitions": row.partitions} for row in rows])
            )
        else:
            self._groups(rows)
            for row in rows if wanted is not None else ():
                self._partitions(row)
        if snapshot.incomplete is not None:
            raise CommandError(f"groups may be missing: {snapshot.incomplete}")

    def _groups(self, rows: Sequence[GroupSample]) -> None:
        names = [visible(shown(row.group)) for row in rows]
        width = max([len("GROUP"), *map(len, names)])
        self.line(f"{'GROUP':<{width}}  STATUS         LAG  {'AGE':>11}   LOST  CONSUMED  STATE")
        for name, row in zip(names, rows, strict=True):
            self.line(
                f"{name:<{width}}  {row.status:<8} {formats.exact_number(row.total_lag):>9}"
                f"  {formats.duration(row.age_s):>11} {formats.exact_number(row.lost):>6}"
                f"  {formats.rate(row.consumed_per_s):>8}  {row.state}"
            )
            if row.unknown_partitions:
                self.line(f"  and an unknown lag of {row.unknown_partitions} partitions")
            if row.reason:
                self.line(f"  {row.reason}")
        if not rows:
            self.line("no consumer groups")

    def _partitions(self, row: GroupSample) -> None:
        parts = row.partitions or []
        names = [f"{part['topic']}-{part['partition']}" for part in parts]
        width = max([len("PARTITION"), *map(len, names)])
        self.line("")
        self.line(f"{'PARTITION':<{width}}  STATUS    COMMITTED        END       LAG         AGE  HOW FOUND")
        for name, part in zip(names, parts, strict=True):
            self.line(
                f"{name:<{width}}  {part['status']:<8} {formats.exact_number(part['committed']):>10}"
                f" {formats.exact_number(part['end']):>10} {formats.exact_number(part['lag']):>9}"
                f" {formats.duration(part['age_s']):>11}  {part['method'] or 'unknown'}"
            )
            if part["reason"]:
                self.line(f"  {part['reason']}")
