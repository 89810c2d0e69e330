"""Definitions against the cluster: declare, plan, apply, compare."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.urls import reverse

from gdsconsole.audit import services as audit
from gdsconsole.audit.models import Outcome
from gdsconsole.kafka.cluster import topic_admin
from gdsconsole.kafka.cluster.topic_admin import ChangeRefused, LiveTopic, LiveTopics, Origin
from gdsconsole.kafka.config import ClientSettings
from gdsconsole.pipelines.connection import kafka_settings
from topics import naming
from topics.audited_fields import edited
from topics.definitions.checklist import check_topic
from topics.definitions.plan import (
    MIN_ISR,
    Drift,
    Kind,
    Layout,
    LiveLayout,
    Plan,
    PlanStep,
    make_plan,
    three_way,
)
from topics.definitions.state import TopicState
from topics.models import TopicDefinition

# What can be declared, exported and imported, in the order it is written.
DECLARED_FIELDS = (
    "name",
    "partitions",
    "replication_factor",
    "min_insync_replicas",
    "retention_ms",
    "cleanup_policy",
    "compression_type",
    "max_message_bytes",
    "key_strategy",
    "extra_config",
    "owner",
    "description",
    "enabled",
)
EXPORT_VERSION = 1


# The declared field behind each adjustment's name.
FIELD_OF_ADJUSTMENT = {"replication factor": "replication.factor", MIN_ISR: MIN_ISR}


class WrongDefinitions(ValueError):
    """Declared topics that can't be used; the message names each entry, field and value, a line each."""


@dataclass(frozen=True, slots=True)
class Applied:
    """A step of the plan and what became of it: `error` is None when it was done."""

    change: PlanStep
    error: str | None


def define_topic(*, actor: str, now: datetime, **fields: Any) -> tuple[TopicDefinition, str]:
    """Declare a topic, new or known by its name; returns it and "added", "changed" or "unchanged".

    Raises `ValidationError` by field.
    """
    definition = TopicDefinition.objects.filter(name=fields.get("name", "")).first() or TopicDefinition()
    is_new = definition.pk is None
    for name, value in fields.items():
        setattr(definition, name, value)
    definition.full_clean()
    if not save_definition(definition=definition, actor=actor, now=now):
        return definition, "unchanged"
    return definition, "added" if is_new else "changed"


@transaction.atomic
def save_definition(*, definition: TopicDefinition, actor: str, now: datetime) -> bool:
    """Store a definition that was validated; False, and nothing stored, where it says nothing new."""
    stored = TopicDefinition.objects.select_for_update().filter(pk=definition.pk).first()
    changes = audit.changes_between(edited(stored), edited(definition))
    if not changes:
        return False
    definition.save()
    audit.record(
        actor=actor,
        action="topic.change" if stored else "topic.declare",
        sentence=f"{'changed the definition of' if stored else 'declared'} topic {definition.name}",
        now=now,
        target=definition.name,
        target_url=_page(definition.name),
        changes=changes,
    )
    return True


@transaction.atomic
def delete_definition(*, definition: TopicDefinition, actor: str, now: datetime) -> None:
    """Forget a declaration; the topic on the cluster stays."""
    fields = {name: (value, None) for name, value in edited(definition).items()}
    definition.delete()
    audit.record(
        actor=actor,
        action="topic.undeclare",
        sentence=f"deleted the definition of topic {definition.name}",
        now=now,
        target=definition.name,
        target_url=_page(definition.name),
        changes=fields,
    )


def read_cluster() -> LiveTopics:
    """The declared topics as the cluster has them. Raises `KafkaUnavailable`."""
    names = set(TopicDefinition.objects.values_list("name", flat=True))
    return topic_admin.describe_topics(kafka_settings(), names)


def plan_topics(live: LiveTopics) -> Plan:
    """What `apply_topics` would do for the enabled definitions."""
    return make_plan(
        declared={definition.name: layout_of(definition) for definition in TopicDefinition.objects.enabled()},
        live={name: live_layout(topic) for name, topic in live.topics.items()},
        brokers=live.brokers,
        unread=live.unread,
    )


def apply_topics(
    plan: Plan,
    live: LiveTopics,
    *,
    actor: str,
    now: datetime,
    report: Callable[[Applied], None] = lambda _: None,
) -> list[Applied]:
    """Carry out the plan, one step after the other, telling `report` of each; a refusal stops no other.

    What was applied is kept with each definition, also where the cluster was as declared before.
    Raises `KafkaUnavailable` when nobody answers any more.
    """
    settings = kafka_settings()
    done: list[Applied] = []
    for change in plan.changes:
        try:
            _carry_out(settings, change, plan.wanted[change.topic])
        except ChangeRefused as refused:
            outcome = Applied(change, str(refused))
        else:
            outcome = Applied(change, None)
        done.append(outcome)
        if change.kind is not Kind.REFUSED:
            _record_applied(outcome, actor=actor, now=now)
        report(outcome)
    failed = {outcome.change.topic for outcome in done if outcome.error is not None}
    for definition in TopicDefinition.objects.enabled().filter(name__in=plan.wanted.keys() - failed):
        applied = _as_json(plan.wanted[definition.name], live.brokers)
        if definition.last_applied != applied:
            TopicDefinition.objects.filter(pk=definition.pk).update(last_applied=applied, applied_at=now)
    return done


def topic_states(live: LiveTopics | None) -> list[TopicState]:
    """Every definition beside the cluster's topic; without a reading, all of them unknown."""
    definitions = list(TopicDefinition.objects.all())
    layouts = {definition.name: layout_of(definition) for definition in definitions}
    there = {name: live_layout(topic) for name, topic in live.topics.items()} if live else {}
    plan = make_plan(declared=layouts, live=there, brokers=live.brokers, unread=live.unread) if live else None
    return [_state(definition, live, there, plan) for definition in definitions]


def undeclared_topics(live: LiveTopics) -> list[str]:
    """Topics on the cluster that nobody declared, Kafka's own aside."""
    declared = set(TopicDefinition.objects.values_list("name", flat=True))
    return sorted(name for name in live.names - declared if not name.startswith("_"))


def export_topics() -> dict[str, Any]:
    """All definitions as JSON-able data that `import_topics` takes."""
    topics = [
        {name: getattr(definition, name) for name in DECLARED_FIELDS}
        for definition in TopicDefinition.objects.all()
    ]
    return {"version": EXPORT_VERSION, "topics": topics}


def import_topics(text: str, *, actor: str, now: datetime) -> dict[str, list[str]]:
    """Declare every topic of an export, all or none; returns names by "added", "changed", "unchanged".

    Definitions that the text doesn't mention are listed under "not mentioned" and stay as they are: a
    missing entry never means deletion. Raises `WrongDefinitions`.
    """
    entries = _entries(text)
    outcome: dict[str, list[str]] = {"added": [], "changed": [], "unchanged": [], "not mentioned": []}
    problems: list[str] = []
    with transaction.atomic():
        for number, entry in enumerate(entries, start=1):
            where = f"topic {number} ({entry.get('name', 'without a name')})"
            try:
                definition, what = define_topic(**entry, actor=actor, now=now)
            except ValidationError as error:
                problems += [f"{where}: {line}" for line in _lines(error, entry)]
            else:
                outcome[what].append(definition.name)
        if problems:
            raise WrongDefinitions("\n".join(problems))
        mentioned = {entry["name"] for entry in entries}
        everything = TopicDefinition.objects.values_list("name", flat=True)
        outcome["not mentioned"] = sorted(set(everything) - mentioned)
    return outcome


def layout_of(definition: TopicDefinition) -> Layout:
    return Layout(definition.partitions, definition.replication_factor, definition.declared_config())


def last_applied(definition: TopicDefinition) -> Layout | None:
    """What `apply` last made of it; None where it never did."""
    applied = definition.last_applied
    if applied is None:
        return None
    return Layout(applied["partitions"], applied["replication_factor"], applied["config"])


def live_layout(topic: LiveTopic) -> LiveLayout:
    return LiveLayout(
        partitions=len(topic.partitions),
        replication_factor=topic.replication_factor,
        config={name: found.value for name, found in topic.config.items()},
        overrides=frozenset(name for name, found in topic.config.items() if found.origin is Origin.TOPIC),
    )


def _carry_out(settings: ClientSettings, change: PlanStep, wanted: Layout) -> None:
    if change.kind is Kind.REFUSED:
        raise ChangeRefused(change.reason)
    if change.kind is Kind.CREATE:
        made = topic_admin.create_topic(
            settings,
            change.topic,
            partitions=wanted.partitions,
            replication_factor=wanted.replication_factor,
            config=wanted.config,
        )
        if not made:
            raise ChangeRefused("somebody made it meanwhile: apply again to compare it")
    elif change.kind is Kind.ADD_PARTITIONS:
        topic_admin.add_partitions(settings, change.topic, total=wanted.partitions)
    else:
        topic_admin.alter_config(settings, change.topic, changed=change.after)


def _record_applied(outcome: Applied, *, actor: str, now: datetime) -> None:
    """The cluster has no transaction that this could be part of: it is told when it is known."""
    change = outcome.change
    done = {
        Kind.CREATE: f"created topic {change.topic} on the cluster",
        Kind.ADD_PARTITIONS: f"added partitions to topic {change.topic} on the cluster",
        Kind.ALTER_CONFIG: f"changed the settings of topic {change.topic} on the cluster",
    }[change.kind]
    with transaction.atomic():
        audit.record(
            actor=actor,
            action="topic.apply",
            sentence=done if outcome.error is None else f"tried to apply topic {change.topic}: {change.kind}",
            now=now,
            target=change.topic,
            target_url=_page(change.topic),
            reason=outcome.error or "",
            outcome=Outcome.DONE if outcome.error is None else Outcome.FAILED,
            changes={name: (change.before.get(name), value) for name, value in change.after.items()},
        )


def _page(topic: str) -> str:
    return reverse("topics:topic", args=[topic])


def _state(
    definition: TopicDefinition, live: LiveTopics | None, there: Mapping[str, LiveLayout], plan: Plan | None
) -> TopicState:
    name = definition.name
    own = there.get(name)
    is_known = live is not None and name not in live.unread
    drifts: list[Drift] = []
    if own is not None and plan is not None:
        applied = last_applied(definition)
        drifts = three_way(topic=name, wanted=plan.wanted[name], applied=applied, live=own)
    parsed = naming.parse_or_none(name)
    checks = check_topic(
        live=own,
        exists=own is not None if is_known else None,
        brokers=live.brokers if live else 0,
        dead_letters=there.get(naming.dead_letter_topic(name)),
        wants_dead_letters=parsed is not None
        and parsed.domain == naming.METRICS
        and not parsed.is_dead_letters,
    )
    return TopicState(
        definition=definition,
        is_known=is_known,
        unread=live.unread.get(name, "") if live else "",
        live=live.topics.get(name) if live else None,
        adjustments=tuple(made for made in plan.adjustments if made.topic == name) if plan else (),
        drifts=tuple(drifts),
        checks=tuple(checks),
    )


def _as_json(layout: Layout, brokers: int) -> dict[str, Any]:
    return {
        "partitions": layout.partitions,
        "replication_factor": layout.replication_factor,
        "config": dict(layout.config),
        "brokers": brokers,
    }


def _entries(text: str) -> list[dict[str, Any]]:
    try:
        data = json.loads(text)
    except ValueError as error:
        raise WrongDefinitions(f"not JSON: {error}") from error
    if not isinstance(data, dict) or not isinstance(data.get("topics"), list):
        raise WrongDefinitions('expected {"version": 1, "topics": [...]}, as `topics export` writes it')
    if data.get("version") != EXPORT_VERSION:
        raise WrongDefinitions(f"version: expected {EXPORT_VERSION}, got {data.get('version')!r}")
    problems: list[str] = []
    seen: set[str] = set()
    entries: list[dict[str, Any]] = data["topics"]
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict):
            problems.append(f"topic {number}: expected an object, got {entry!r}")
            continue
        where = f"topic {number} ({entry.get('name', 'without a name')})"
        if "name" not in entry:
            problems.append(f"{where}: name: missing")
        elif str(entry["name"]) in seen:
            problems.append(f"{where}: name: is in the file twice")
        seen.add(str(entry.get("name")))
        for key in entry.keys() - set(DECLARED_FIELDS):
            close = get_close_matches(key, DECLARED_FIELDS, n=1)
            problems.append(
                f"{where}: unknown field {key!r}" + (f"; did you mean {close[0]!r}?" if close else "")
            )
    if problems:
        raise WrongDefinitions("\n".join(problems))
    return entries


def _lines(error: ValidationError, entry: Mapping[str, Any]) -> list[str]:
    by_field: dict[str, list[str]] = error.message_dict
    return [
        f"{field}: {message} (got {entry[field]!r})" if field in entry else f"{field}: {message}"
        for field, messages in by_field.items()
        for message in messages
    ]
