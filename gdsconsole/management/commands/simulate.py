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

from gdsconsole.cli.terminal import TerminalCommand
from gdsconsole.kafka.clients import ClientHooks, LastError, new_producer, quiet_client, require_topic
from gdsconsole.kafka.cluster.metadata import topic_ids
from gdsconsole.kafka.config import ClientSettings
from gdsconsole.kafka.consuming.topic_watch import TopicWatch
from gdsconsole.kafka.errors import KafkaUnavailable, UnknownTopic, WrongClientConfig
from gdsconsole.kafka.producing.sender import SendStalled
from gdsconsole.management.arguments import at_least_one, rate, seconds, share
from gdsconsole.management.interruption import Interrupted, Interruption
from gdsconsole.management.simulating import Result, Simulation
from gdsconsole.pipelines.connection import kafka_settings
from topics.simulator import telemetry

EXAMPLES = """examples:
  manage.py simulate --rate 1000 --seconds 60 --poison 0.01
  manage.py simulate --rate 50                                  until Ctrl-C

At the end prints {"sent", "delivered", "failed", "poison", "seconds", "rate"}; progress is on standard
error. Exits 1 unless every record was delivered.
"""
_CONNECT_TIMEOUT_S = 5.0
_FLUSH_S = 30.0
# How often it is asked whether the topic is the same still, and how long one that isn't is waited for.
_ASK_S = 3.0
_GONE_S = 1.0
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
        topic, forever = options["topic"], options["seconds"] is None
        watch = TopicWatch(lambda names: topic_ids(settings, set(names)), time.monotonic)
        results: list[Result] = []
        reason = None
        began = time.monotonic()
        while not results or watch.made_again:
            # A producer that knew the topic before it was made again would reach none of its leaders.
            watch.begin_anew()
            simulation = self._simulation(settings, watch, interruption, options)
            try:
                self._run(simulation, interruption, watch if forever else None, topic)
            except SendStalled as error:
                self.tell(f"Kafka at {settings.bootstrap_servers}: {error}")
            if watch.made_again:
                self.tell(f"{topic} was deleted and made again: what comes now goes to the new one")
            results.append(simulation.finish(timeout_s=_GONE_S if watch.made_again else _FLUSH_S))
            reason = reason or simulation.first_failure
        took_s = time.monotonic() - began
        sent, delivered = sum(one.sent for one in results), sum(one.delivered for one in results)
        if sent > delivered:
            self.tell(
                f"{sent - delivered} records not delivered to Kafka at {settings.bootstrap_servers}: "
                f"{reason or 'not acknowledged in time'}"
            )
        return {
            "sent": sent,
            "delivered": delivered,
            "failed": sent - delivered,
            "poison": sum(one.poison for one in results),
            "seconds": round(took_s, 3),
            "rate": round(delivered / took_s, 1),
        }

    def _simulation(
        self,
        settings: ClientSettings,
        watch: TopicWatch,
        interruption: Interruption,
        options: dict[str, Any],
    ) -> Simulation:
        topic, forever = options["topic"], options["seconds"] is None
        because = LastError()
        producer = new_producer(settings, client_id="gds-simulate", hooks=ClientHooks(on_error=because))
        require_topic(producer, topic, settings, timeout_s=_CONNECT_TIMEOUT_S, because=because)
        for name, topic_id in topic_ids(settings, [topic]).items():
            watch.begins_with(name, topic_id)
        return Simulation(
            producer,
            topic,
            telemetry(
                clock=lambda: datetime.now(UTC),
                instances=options["instances"],
                poison=options["poison"],
                seed=options["seed"],
            ),
            rate=options["rate"],
            total=None if forever else round(options["rate"] * options["seconds"]),
            started=time.monotonic(),
            # Demo traffic outlives an outage of the brokers; a run of a given length must end.
            patience_s=None if forever else _FLUSH_S,
            stop=lambda: interruption.requested,
            counts_poison=options["poison"] > 0,
        )

    def _run(
        self, simulation: Simulation, interruption: Interruption, watch: TopicWatch | None, topic: str
    ) -> None:
        """Until all is sent, the user asks to stop, or the watched topic is another; tells the progress."""
        progress_s = _PROGRESS_S if watch is None else _PROGRESS_FOREVER_S
        told_at = asked_at = time.monotonic()
        told = 0
        while not interruption.requested and simulation.step(time.monotonic()):
            now = time.monotonic()
            if watch is not None and now - asked_at >= _ASK_S:
                asked_at = now
                watch.ask([topic])
            if watch is not None and watch.sees_another([topic], soon=False):
                return
            if now - told_at >= progress_s:
                delivered = simulation.delivered
                self.tell(f"{delivered} delivered, {(delivered - told) / (now - told_at):.0f}/s")
                told_at, told = now, delivered
            with suppress(Interrupted), interruption.waiting():
                time.sleep(simulation.wait_s(now))
