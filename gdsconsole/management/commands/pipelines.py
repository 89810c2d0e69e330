"""`manage.py pipelines`: the consumer groups, from a terminal."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from gdsconsole.assembly import pipeline_catalog
from gdsconsole.assembly.run_consumer import run_consumer
from gdsconsole.audit.actors import command_actor
from gdsconsole.cli.subcommands import Actions
from gdsconsole.cli.terminal import TerminalCommand
from gdsconsole.database.reporting import database_told
from gdsconsole.database.timeouts import PIPELINES, bound_waits
from gdsconsole.kafka.errors import KafkaUnavailable, WrongClientConfig
from gdsconsole.live.publish import flush
from gdsconsole.management import halt_actions
from gdsconsole.pipelines import capacity, leases, selectors, services
from gdsconsole.pipelines.consumer import Outcome
from gdsconsole.pipelines.draining import stop_signals
from gdsconsole.pipelines.halts import services as halts
from gdsconsole.pipelines.halts import skipping
from gdsconsole.pipelines.models import Pipeline, PipelineConsumer
from gdsconsole.pipelines.services import PipelineRow
from gdsconsole.pipelines.status import Kind, PipelineStatus

EXAMPLES = """
examples:
  manage.py pipelines list
  manage.py pipelines list --json
  manage.py pipelines run alerting            one consumer here, without Celery; Ctrl-C drains it
  manage.py pipelines pause alerting
  manage.py pipelines resume alerting         also after it halted
  manage.py pipelines scale alerting 3
ways out of a halt:
  manage.py pipelines halts                                         which partitions stand, where and why
  manage.py pipelines resume alerting --partition 3                 go on where it stands
  manage.py pipelines dead-letter alerting --apply                  what fails, until a record is good again
  manage.py pipelines skip alerting --to offset:5120 --partition 3  the preview: how many are skipped
  manage.py pipelines skip alerting --to time:15m --reason "bad deploy" --apply
"""
# A holder that died elsewhere frees its slot when its lease is over; a little more than that.
WAIT_FOR_SLOT_S = leases.TTL.total_seconds() + 5
# By KIP-848 the place of a consumer that was killed is free when its session is over: 45 s unless the brokers
# are told otherwise.
WAIT_FOR_MEMBER_S = 75


class Command(TerminalCommand):
    help = "List, run, pause, resume and scale the consumer groups."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = Actions(parser, EXAMPLES)
        actions.add("list", "every pipeline, its consumers and the partitions they hold")
        run = actions.add("run", "run one consumer in the foreground")
        run.add_argument("name")
        run.add_argument(
            "--slot", type=int, help="the consumer's number, from 0; else the first that is free"
        )
        actions.add("pause", "let every consumer drain and stop").add_argument("name")
        resume = actions.add("resume", "start it again, also after it halted")
        resume.add_argument("name")
        _add_partitions(resume)
        scale = actions.add("scale", "run another number of consumers")
        scale.add_argument("name")
        scale.add_argument("consumers", type=int)
        actions.add("halts", "the halted partitions").add_argument("name", nargs="?", default="")
        let = actions.add("dead-letter", "dead-letter what fails, the breaker off, until it is good again")
        skip = actions.add("skip", "go on behind what a halted partition stands at")
        skip.add_argument("--to", required=True, help="offset:N, time:T (ISO 8601 or an age) or latest")
        for parser_of in (let, skip):
            parser_of.add_argument("name")
            _add_partitions(parser_of)
            parser_of.add_argument("--reason", default="", help="is kept in the audit log")
            parser_of.add_argument("--apply", action="store_true", help="do it; without it, the preview")

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            with database_told(options):
                pipeline_catalog.ensure_rows()
                self._do(options)
        except services.UnknownPipeline as error:
            raise CommandError(str(error), returncode=2) from error
        except (services.WrongConsumers, skipping.WrongSkip) as error:
            raise CommandError(str(error), returncode=2) from error
        except (halts.NotHalted, halts.HaltsMoved, KafkaUnavailable) as error:
            raise CommandError(str(error)) from error
        except WrongClientConfig as error:
            raise CommandError(str(error)) from error

    def _do(self, options: dict[str, Any]) -> None:
        action = options["action"]
        if action == "run":
            self._run(options["name"], options["slot"], as_json=options["json"])
            return
        if action in {"halts", "dead-letter", "skip"}:
            self._halts(action, options)
            return
        name, actor, now = options.get("name", ""), command_actor(), timezone.now()
        if action == "pause":
            services.pause(name=name, actor=actor, now=now)
        elif action == "resume" and options["partition"]:
            halt_actions.resume(name=name, partitions=options["partition"], actor=actor, now=now)
        elif action == "resume":
            services.resume(name=name, actor=actor, now=now)
        elif action == "scale":
            services.scale(name=name, consumers=options["consumers"], actor=actor, now=now)
        processes = capacity.processes(now=now)
        if action in {"scale", "resume"}:
            short = capacity.shortfall(name=name, processes=processes, now=now)
            if short:
                self.tell(f"{name}: {short}; the others wait for one")
        rows = [row for row in services.listing(now=now, processes=processes) if name in ("", row["name"])]
        told = {view.name: view.status for view in selectors.read(now=now)}
        if options["json"]:
            self.stdout.write(json.dumps([_public(row, told.get(row["name"])) for row in rows]))
        else:
            self._table(rows, told)

    def _halts(self, action: str, options: dict[str, Any]) -> None:
        name, now = options["name"], timezone.now()
        if action == "halts":
            rows = halt_actions.listed(name)
            if options["json"]:
                self.stdout.write(json.dumps(rows))
                return
            for row in rows:
                decided = f"  {row['decision']} by {row['decided_by']}" if row["decision"] else ""
                place = f"{row['topic']}-{row['partition']}"
                why = f"{row['offset']}: {row['reason']}{decided}"
                self.line(f"{row['name']:<12} {place} at offset {why}")
            if not rows:
                self.tell("no partition is halted")
            return
        how = {name: options[name] for name in ("name", "apply", "reason")}
        how |= {"partitions": options["partition"], "actor": command_actor(), "now": now}
        if action == "skip":
            preview = halt_actions.skip(to=options["to"], **how)
        else:
            preview = halt_actions.dead_letter(**how)
        if options["json"]:
            self.stdout.write(json.dumps(preview))
            return
        for line in halt_actions.told(preview):
            self.line(line)

    def _table(self, rows: list[PipelineRow], told: Mapping[str, PipelineStatus]) -> None:
        for row in rows:
            status = told.get(row["name"])
            runs = status is not None and status.kind is not Kind.OFF
            parts = [status.text if status is not None and runs else "", row["reason"]]
            reason = "".join(f"  {part}" for part in dict.fromkeys(parts) if part)
            self.line(f"{row['name']:<12} {row['group']:<18} {row['state']}{reason}")
            for consumer in row["consumers"]:
                where = f"{consumer['host']}:{consumer['pid']}" if consumer["pid"] else "nobody"
                rate = "unknown" if consumer["rate_in"] is None else f"{consumer['rate_in']:.0f}/s"
                held = (
                    f"{len(consumer['partitions'])} partitions, {rate}"
                    if consumer["pid"]
                    else consumer["reason"]
                )
                self.line(f"  {consumer['slot']:>3}  {consumer['state']:<10} {where:<32} {held}")

    def _run(self, name: str, slot: int | None, *, as_json: bool) -> None:
        pipeline = Pipeline.objects.filter(name=name).first()
        if pipeline is None or name not in pipeline_catalog.CATALOG:
            known = ", ".join(sorted(pipeline_catalog.CATALOG))
            raise services.UnknownPipeline(f"there is no pipeline {name!r}; there are: {known}")
        if slot is not None and slot < 0:
            raise CommandError(f"--slot: {slot} is not 0 or more", returncode=2)
        if slot is not None and slot >= pipeline.consumers:
            raise CommandError(
                f"--slot: {slot} is beyond the {pipeline.consumers} consumers of {name}; "
                f"`manage.py pipelines scale {name} {slot + 1}` first",
                returncode=2,
            )
        if not pipeline.is_wanted:
            why = f"halted: {pipeline.halted_reason}" if pipeline.halted_reason else "paused"
            raise CommandError(f"{name} is {why}; `manage.py pipelines resume {name}` first")
        with stop_signals(signal.SIGTERM, signal.SIGINT) as signals:
            bound_waits(PIPELINES)
            began, patience_s = time.monotonic(), WAIT_FOR_SLOT_S
            said = False
            while not signals.asked:
                for number in range(pipeline.consumers) if slot is None else (slot,):
                    ran = run_consumer(name, number, stop=lambda: "asked to stop" if signals.asked else "")
                    if ran is None:
                        waits_for = _holders(pipeline, slot)
                    elif ran.ended is Outcome.NOT_YET:
                        waits_for, patience_s = ran.why, WAIT_FOR_MEMBER_S
                    else:
                        flush()
                        self._finish(ran.ended, ran.why, name, number, as_json=as_json)
                        return
                if time.monotonic() > began + patience_s:
                    raise CommandError(f"{name}: {waits_for}")
                if not said:
                    self.tell(f"waiting: {waits_for}")
                    said = True
                time.sleep(1)

    def _finish(self, ended: Outcome | None, why: str, name: str, slot: int, *, as_json: bool) -> None:
        outcome = ended or Outcome.FAILED
        if as_json:
            result = {"name": name, "slot": slot, "outcome": outcome.name.lower(), "reason": why}
            self.stdout.write(json.dumps(result))
        if outcome not in {Outcome.DRAINED, Outcome.UNWANTED}:
            raise CommandError(f"{name}/{slot} {outcome.value}: {why}")
        self.tell(f"{name}/{slot} {outcome.value}: {why}")


def _public(row: PipelineRow, status: PipelineStatus | None) -> dict[str, Any]:
    fields = ("slot", "host", "pid", "state", "reason", "partitions", "rate_in")
    consumers = [{name: dict(consumer)[name] for name in fields} for consumer in row["consumers"]]
    return {
        "name": row["name"],
        "group": row["group"],
        "state": row["state"],
        "reason": row["reason"],
        "reading": status.kind.value if status is not None else Kind.UNKNOWN.value,
        "reading_reason": status.text if status is not None else "",
        "wanted_consumers": row["wanted_consumers"],
        "halted": [halts.public(one) for one in row["halted"]],
        "consumers": consumers,
    }


def _add_partitions(parser: Any) -> None:
    parser.add_argument(
        "--partition",
        action="append",
        default=[],
        metavar="N",
        help="this halted partition alone, by its number or as topic-number; may be given again",
    )


def _holders(pipeline: Pipeline, slot: int | None) -> str:
    held = PipelineConsumer.objects.filter(pipeline=pipeline, expires_at__gt=timezone.now())
    held = held.filter(slot__lt=pipeline.consumers) if slot is None else held.filter(slot=slot)
    return (
        ", ".join(f"slot {consumer.slot} is held by {consumer.host}:{consumer.pid}" for consumer in held)
        or "no slot is free"
    )
