"""`manage.py dlq`: dead letters from a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from dlq import services
from dlq.filters import OPEN, filter_names, filtered
from dlq.models import DeadLetter, ReplayItem
from dlq.payload_audit import letter_entry
from dlq.serializers import letter_detail, letter_row
from dlq.services import NothingDone, Refusal
from dlq.tasks import enqueue_replay
from dlq.waiting import wait_for
from gdsconsole.audit import payload_views
from gdsconsole.audit.actors import command_actor
from gdsconsole.cli.subcommands import Actions
from gdsconsole.cli.terminal import TerminalCommand
from gdsconsole.database.reporting import database_told
from gdsconsole.live.publish import flush
from gdsconsole.text.content import one_line
from gdsconsole.text.visible import visible

EXAMPLES = """
examples:
  manage.py dlq list
  manage.py dlq list --filter state=waiting --filter since=24h --json
  manage.py dlq show 17
  manage.py dlq replay 17 18 --reason "fixed in v2.4"
  manage.py dlq replay --filter cause=5238ef6c838019ce
  manage.py dlq discard 17 --reason "test traffic"
"""
TABLE_ROWS = 50
PICKUP_S = 20.0
TIMEOUT_S = 300.0


class Command(TerminalCommand):
    help = "List, show, replay and discard dead letters."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = Actions(parser, EXAMPLES)
        listing = actions.add("list", "dead letters, the newest first")
        self._filters(listing)
        listing.add_argument("--limit", type=int, help=f"at most so many (the table: {TABLE_ROWS})")
        show = actions.add("show", "one dead letter with its message and history")
        show.add_argument("id", type=int, metavar="ID")
        replay = actions.add("replay", "send to their topics again, and wait for the outcome")
        self._selection(replay)
        replay.add_argument("--reason", default="", help="kept in the history")
        replay.add_argument(
            "--over-limit", action="store_true", help="also those replayed 3 times; needs --reason"
        )
        replay.add_argument(
            "--timeout",
            type=float,
            default=TIMEOUT_S,
            metavar="S",
            help="wait at most so many seconds (%(default)g); the replay goes on without us",
        )
        discard = actions.add("discard", "put away for good")
        self._selection(discard)
        discard.add_argument("--reason", required=True, help="kept in the history")

    def _selection(self, action: Any) -> None:
        action.add_argument("ids", type=int, nargs="*", metavar="ID")
        self._filters(action)

    def _filters(self, action: Any) -> None:
        action.add_argument(
            "--filter",
            action="append",
            default=[],
            metavar="K=V",
            help=f"K is one of {', '.join(filter_names())}; several must all hold",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            with database_told(options):
                getattr(self, f"_{options['action']}")(options)
        finally:
            flush()

    # What each action does.

    def _list(self, options: dict[str, Any]) -> None:
        limit = options["limit"]
        if limit is not None and limit < 1:
            raise CommandError(f"--limit: {limit} is not 1 or more", returncode=2)
        letters = _matching(options["filter"])
        if options["json"]:
            self._print_json_rows(letters if limit is None else letters[:limit])
        else:
            self._print_table(letters, limit or TABLE_ROWS)

    def _show(self, options: dict[str, Any]) -> None:
        letter = DeadLetter.objects.filter(pk=options["id"]).first()
        if letter is None:
            raise CommandError(f"there is no dead letter {options['id']}")
        payload_views.viewed(**letter_entry(letter, "viewed", actor=command_actor()))
        detail = letter_detail(letter)
        if options["json"]:
            self.stdout.write(json.dumps(detail))
            return
        for name, value in detail.items():
            if name not in {"headers", "history", "value"}:
                self.line(f"{name:<16} {'unknown' if value is None else value}")
        for header in detail["headers"]:
            self._block("header", f"{visible(header['name'])} = {_or_null(header['value'])}")
        for event in detail["history"]:
            why = " ".join(filter(None, (event["target"], event["reason"] and f'"{event["reason"]}"')))
            self.line(f"history          {event['at']} {event['action']} by {event['actor']} {why}".rstrip())
        self._block("value", _or_null(detail["value"]))

    def _replay(self, options: dict[str, Any]) -> None:
        if options["timeout"] <= 0:
            raise CommandError(f"--timeout: {options['timeout']:g} is not more than 0", returncode=2)
        try:
            started = services.start_replay(
                ids=_selected(options),
                actor=command_actor(),
                now=timezone.now(),
                reason=options["reason"],
                over_limit=options["over_limit"],
            )
        except NothingDone as nothing:
            self._report([_unsent(refusal) for refusal in nothing.refusals], options)
            raise CommandError(str(nothing)) from nothing
        except ValueError as error:
            raise CommandError(f"--{error}", returncode=2) from error
        if not enqueue_replay():
            self.tell("the queue can't be reached; the replay waits for the workers' schedule")
        waited = wait_for(started.run, pickup_s=PICKUP_S, timeout_s=options["timeout"])
        items = ReplayItem.objects.filter(run=started.run).order_by("dead_letter_id")
        outcomes = [_outcome(item) for item in items] + [_unsent(refusal) for refusal in started.refusals]
        self._report(outcomes, options)
        if not waited.is_settled:
            raise CommandError(waited.problem)
        undone = sum(outcome["outcome"] != "replayed" for outcome in outcomes)
        if undone:
            raise CommandError(f"{undone} of {len(outcomes)} were not replayed")

    def _discard(self, options: dict[str, Any]) -> None:
        try:
            done = services.discard(
                ids=_selected(options), actor=command_actor(), reason=options["reason"], now=timezone.now()
            )
        except NothingDone as nothing:
            self._report([_refused(refusal) for refusal in nothing.refusals], options)
            raise CommandError(str(nothing)) from nothing
        except ValueError as error:
            raise CommandError(f"--{error}", returncode=2) from error
        outcomes = [{"id": number, "outcome": "discarded", "error": ""} for number in done.ids]
        self._report(outcomes + [_refused(refusal) for refusal in done.refusals], options)
        if done.refusals:
            raise CommandError(f"{len(done.refusals)} were not discarded")

    # How it is printed.

    def _block(self, name: str, text: str) -> None:
        """A text with the lines it has; those after the first are indented, so none passes for a row."""
        for number, line in enumerate(text.split("\n")):
            self.line(f"{'' if number else name:<17}{line}")

    def _print_json_rows(self, letters: QuerySet[DeadLetter]) -> None:
        """One array, written as it is read: there may be more letters than fit in memory."""
        self.stdout.write("[", ending="")
        for number, letter in enumerate(letters.iterator(chunk_size=1000)):
            self.stdout.write((",\n " if number else "") + json.dumps(letter_row(letter)), ending="")
        self.stdout.write("]")

    def _print_table(self, letters: QuerySet[DeadLetter], limit: int) -> None:
        shown = list(letters[:limit])
        for letter in shown:
            key = one_line(bytes(letter.key) if letter.key is not None else None, limit=28)
            error = " ".join(letter.error.split())
            self.line(
                f"{letter.pk:>6}  {letter.state:<10} {letter.coordinates:<34} "
                f"{'null' if key is None else key:<28}  {letter.error_type}: {error[:100]}".rstrip()
            )
        more = letters.count() - len(shown) if len(shown) == limit else 0
        if more:
            self.tell(f"{more:,} more; --limit shows them")

    def _report(self, outcomes: Sequence[dict[str, Any]], options: dict[str, Any]) -> None:
        if options["json"]:
            self.stdout.write(json.dumps(list(outcomes)))
            return
        for outcome in outcomes:
            told = outcome.get("target") or outcome["error"]
            self.line(f"{outcome['id']:>6}  {outcome['outcome']:<10} {told or ''}".rstrip())


def _matching(pairs: Iterable[str], **defaults: str) -> QuerySet[DeadLetter]:
    data: dict[str, str] = dict(defaults)
    for pair in pairs:
        name, found, value = pair.partition("=")
        if not found or name not in filter_names():
            raise CommandError(
                f"--filter: {pair!r} is not K=V with K one of {', '.join(filter_names())}", returncode=2
            )
        data[name] = value
    wanted = filtered(data)
    if wanted.problems:
        raise CommandError(f"--filter: {'; '.join(wanted.problems)}", returncode=2)
    letters: QuerySet[DeadLetter] = wanted.qs
    return letters


def _selected(options: dict[str, Any]) -> list[int]:
    """The ids named, and those of the filter: of letters that wait, unless it names a state."""
    ids = list(options["ids"])
    if not ids and not options["filter"]:
        raise CommandError(f"{options['action']}: name ids, or choose with --filter", returncode=2)
    if options["filter"]:
        with transaction.atomic():
            chosen = _matching(options["filter"], state=OPEN).order_by("pk")
            ids += chosen.values_list("pk", flat=True)[: services.MAX_SELECTION + 1]
        if not ids:
            raise CommandError("no dead letter matches the filter")
    return ids


def _outcome(item: ReplayItem) -> dict[str, Any]:
    return {
        "id": item.dead_letter_id,
        "outcome": item.state,
        "run": item.run_id,
        "replay_id": str(item.replay_id),
        "topic": item.target_topic,
        "partition": item.target_partition,
        "offset": item.target_offset,
        "target": item.target,
        "error": item.error,
    }


def _unsent(refusal: Refusal) -> dict[str, Any]:
    """A letter that the run left out, in the fields of those it has."""
    unknown = dict.fromkeys(("run", "replay_id", "topic", "partition", "offset", "target"))
    return {**_refused(refusal), **unknown}


def _refused(refusal: Refusal) -> dict[str, Any]:
    return {"id": refusal.dead_letter_id, "outcome": "rejected", "error": refusal.reason}


def _or_null(text: str | None) -> str:
    return "null" if text is None else text
