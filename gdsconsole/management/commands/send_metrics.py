"""`manage.py send_metrics`: metrics from a file or a pipe, one JSON object a line, to a topic."""

from __future__ import annotations

import argparse
import io
import json
import sys
import uuid
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, cast

from django.core.management.base import CommandError, CommandParser

from gdsconsole.cli.terminal import TerminalCommand
from gdsconsole.kafka.clients import (
    ClientHooks,
    LastError,
    Producer,
    new_producer,
    quiet_client,
    require_topic,
)
from gdsconsole.kafka.config import ClientSettings
from gdsconsole.kafka.errors import KafkaUnavailable, UnknownTopic, WrongClientConfig
from gdsconsole.kafka.producing.sender import KEY_STRATEGIES
from gdsconsole.kafka.producing.transactions import init_transactions
from gdsconsole.management.arguments import at_least_one, seconds
from gdsconsole.management.interruption import Interruption
from gdsconsole.management.lines import read_lines
from gdsconsole.management.sending import MetricLines, Tally
from gdsconsole.pipelines.connection import kafka_settings

EXAMPLES = """examples:
  manage.py send_metrics metrics.jsonl --topic gds.metrics.production
  tail -f metrics.jsonl | manage.py send_metrics - --topic gds.metrics.production --key-by tenant

A line is one metric:
  {"timestamp":"2026-01-15T10:30:00Z","database_type":"postgresql","instance_id":"prod-db-01",
   "metric_name":"cpu_usage_percent","value":85.5,"tags":{"environment":"production"}}

Prints {"read", "delivered", "failed"}; a line that fails is named by its number on standard error.
Exits 1 unless every line was delivered.
"""
# A transaction may wait for slow input; the brokers abort it after this, at most 15 minutes by default.
_TRANSACTION_TIMEOUT_MS = 300_000
_CONNECT_TIMEOUT_S = 5.0


class Command(TerminalCommand):
    help = "Sends metrics, one JSON object a line, and says how many were delivered."
    requires_system_checks = ()

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        kwargs |= {"formatter_class": argparse.RawDescriptionHelpFormatter, "epilog": EXAMPLES}
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "file", nargs="?", default="-", metavar="FILE", help="JSON lines; - is standard input (default)"
        )
        parser.add_argument("--topic", required=True, metavar="T", help="where to send them")
        parser.add_argument(
            "--key-by",
            choices=sorted(KEY_STRATEGIES),
            default="instance",
            help="what shares a partition, and so stays in order (default: instance)",
        )
        parser.add_argument(
            "--batch",
            type=at_least_one,
            default=1000,
            metavar="N",
            help="lines handed to the producer at once, at most (default: 1000)",
        )
        parser.add_argument(
            "--transactional", action="store_true", help="all lines or none, in one transaction"
        )
        parser.add_argument(
            "--timeout",
            type=seconds,
            default=30.0,
            metavar="SECONDS",
            help="how long to wait at the end for what is not acknowledged yet (default: 30)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        quiet_client(options["verbosity"])
        try:
            with self._opened(options["file"]) as stream, Interruption() as interruption:
                tally = self._send(stream, interruption, options)
        except (KafkaUnavailable, UnknownTopic, WrongClientConfig) as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"{options['file']}: {error.strerror or error}") from error
        self.stdout.write(
            json.dumps({"read": tally.read, "delivered": tally.delivered, "failed": tally.failed})
        )
        if not tally.is_complete:
            sys.exit(1)

    def _send(self, stream: io.BufferedIOBase, interruption: Interruption, options: dict[str, Any]) -> Tally:
        settings = kafka_settings()
        because = LastError()
        producer = _producer(settings, because, transactional=options["transactional"])
        require_topic(producer, options["topic"], settings, timeout_s=_CONNECT_TIMEOUT_S, because=because)
        lines = MetricLines(producer, options["topic"], key_by=options["key_by"], tell=self.tell)
        groups = read_lines(stream, at_most=options["batch"], waiting=interruption.waiting)
        if options["transactional"]:
            init_transactions(producer, settings, timeout_s=options["timeout"])
            send = lines.send_all_or_none
        else:
            send = lines.send
        tally = send(groups, timeout_s=options["timeout"], stop=lambda: interruption.requested)
        if interruption.requested:
            self.tell(f"interrupted after {tally.read} lines")
        return tally

    def _opened(self, file: str) -> AbstractContextManager[io.BufferedIOBase]:
        if file == "-":
            return nullcontext(cast(io.BufferedIOBase, sys.stdin.buffer))
        return Path(file).open("rb")


def _producer(settings: ClientSettings, because: LastError, *, transactional: bool) -> Producer:
    hooks = ClientHooks(on_error=because)
    if not transactional:
        return new_producer(settings, client_id="gds-send-metrics", hooks=hooks)
    return new_producer(
        settings,
        client_id="gds-send-metrics",
        hooks=hooks,
        # Of its own each time: with a fixed one, two commands at once would fence each other.
        transactional_id=f"gds-send-metrics-{uuid.uuid4()}",
        transaction_timeout_ms=_TRANSACTION_TIMEOUT_MS,
    )
