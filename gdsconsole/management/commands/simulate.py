"""`manage.py simulate`: seeded telemetry of a fleet of databases, at a steady rate."""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from django.conf import settings as django_settings
from django.core.management.base import CommandError, CommandParser

from gdsconsole.kafka.clients import ClientHooks, LastError, new_producer, quiet_client, require_topic
from gdsconsole.kafka.errors import KafkaUnavailable, UnknownTopic, WrongClientConfig
from gdsconsole.kafka.producing import SendStalled
from gdsconsole.management.arguments import at_least_one, rate, seconds, share
from gdsconsole.management.interruption import Interrupted, Interruption
from gdsconsole.management.simulating import Simulation
from gdsconsole.pipelines.connection import kafka_settings
from gdsconsole.terminal import TerminalCommand
from topics.simulator import telemetry

EXAMPLES = """examples:
  manage.py simulate --rate 1000 --seconds 60 --poison 0.01
  manage.py simulate --rate 50                                  until Ctrl-C

At the end prints {"sent", "delivered", "failed", "poison", "seconds", "rate"}; progress is on standard
error. Exits 1 unless every record was delivered.
"""
_CONNECT_TIMEOUT_S = 5.0
_FLUSH_S = 30.0
_PROGRESS_S = 5.0
_PROGRESS_FOREVER_S = 60.0


class Command(TerminalCommand):
    help = "Sends simulated metrics to a topic, some of them poison if asked for."
    requires_system_checks = ()

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        kwargs |= {"formatter_class": argparse.RawDescriptionHelpFormatter, "epilog": EXAMPLES}
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--rate", type=rate, default=100.0, metavar="N", help="records a second (100)")
        parser.add_argument(
            "--seconds", type=seconds, metavar="S", help="for how long: RATE * S records (default: for ever)"
        )
        parser.add_argument("--instances", type=at_least_one, default=12, metavar="N", help="databases (12)")
        parser.add_argument(
            "--poison", type=share, default=0.0, metavar="RATIO", help="share that can't be decoded (0)"
        )
        parser.add_argument("--seed", type=int, default=0, metavar="N", help="another fleet's history (0)")
        default_topic = f"{django_settings.GDS_ORGANIZATION}.metrics.production"
        parser.add_argument("--topic", default=default_topic, metavar="T", help=f"({default_topic})")

    def handle(self, *args: Any, **options: Any) -> None:
        quiet_client(options["verbosity"])
        try:
            with Interruption() as interruption:
                summary = self._simulate(interruption, options)
        except (KafkaUnavailable, UnknownTopic, WrongClientConfig) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(json.dumps(summary))
        if summary["failed"]:
            sys.exit(1)

    def _simulate(self, interruption: Interruption, options: dict[str, Any]) -> dict[str, float]:
        settings = kafka_settings()
        because = LastError()
        producer = new_producer(settings, client_id="gds-simulate", hooks=ClientHooks(on_error=because))
        require_topic(producer, options["topic"], settings, timeout_s=_CONNECT_TIMEOUT_S, because=because)
        forever = options["seconds"] is None
        began = time.monotonic()
        simulation = Simulation(
            producer,
            options["topic"],
            telemetry(
                clock=lambda: datetime.now(UTC),
                instances=options["instances"],
                poison=options["poison"],
                seed=options["seed"],
            ),
            rate=options["rate"],
            total=None if forever else round(options["rate"] * options["seconds"]),
            started=began,
            # Demo traffic outlives an outage of the brokers; a run of a given length must end.
            patience_s=None if forever else _FLUSH_S,
            stop=lambda: interruption.requested,
            counts_poison=options["poison"] > 0,
        )
        try:
            self._run(simulation, interruption, progress_s=_PROGRESS_FOREVER_S if forever else _PROGRESS_S)
        except SendStalled as error:
            self.tell(f"Kafka at {settings.bootstrap_servers}: {error}")
        result = simulation.finish(timeout_s=_FLUSH_S)
        took_s = time.monotonic() - began
        if result.failed:
            reason = simulation.first_failure or "not acknowledged in time"
            self.tell(
                f"{result.failed} records not delivered to Kafka at {settings.bootstrap_servers}: {reason}"
            )
        return {
            "sent": result.sent,
            "delivered": result.delivered,
            "failed": result.failed,
            "poison": result.poison,
            "seconds": round(took_s, 3),
            "rate": round(result.delivered / took_s, 1),
        }

    def _run(self, simulation: Simulation, interruption: Interruption, *, progress_s: float) -> None:
        """Until all is sent or the user asks to stop; a line of progress every `progress_s`."""
        told_at, told = time.monotonic(), 0
        while not interruption.requested and simulation.step(time.monotonic()):
            now = time.monotonic()
            if now - told_at >= progress_s:
                delivered = simulation.delivered
                self.tell(f"{delivered} delivered, {(delivered - told) / (now - told_at):.0f}/s")
                told_at, told = now, delivered
            with suppress(Interrupted), interruption.waiting():
                time.sleep(simulation.wait_s(now))
